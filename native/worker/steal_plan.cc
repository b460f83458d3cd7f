#include "steal_plan.h"

#include <algorithm>

namespace lcp_tvm::worker {

namespace {

void AddRegion(uint32_t tensor, const Box& box, std::vector<Region>* regions) {
  if (FindRegion(*regions, tensor, box) < 0) {
    regions->push_back({tensor, box});
  }
}

std::vector<Region>& ShareOf(int producer, std::vector<Share>* shares) {
  for (Share& share : *shares) {
    if (share.producer == producer) {
      return share.regions;
    }
  }
  return shares->emplace_back(Share{producer, {}}).regions;
}

OpenWay MakeWay(const Way& way, int needs) {
  OpenWay open;
  for (const Read& read : way.reads) {
    std::vector<int> producers;
    for (const Piece& piece : read.pieces) {
      if (piece.producer == kFrame) {
        AddRegion(read.tensor, piece.box, &open.frame);
      } else {
        producers.push_back(piece.producer);
        AddRegion(read.tensor, piece.box, &ShareOf(piece.producer, &open.others));
      }
    }
    if (!producers.empty()) {
      open.reads.push_back(std::move(producers));
    }
  }
  const auto of_frame = static_cast<int>(way.reads.size() - open.reads.size());
  open.needs = needs < 0 ? static_cast<int>(open.reads.size()) : std::max(needs - of_frame, 0);
  return open;
}

void AddToPool(const OpenWay& way, std::vector<std::vector<Region>>* pool) {
  for (const Share& share : way.others) {
    for (const Region& region : share.regions) {
      AddRegion(region.tensor, region.box, &(*pool)[share.producer]);
    }
  }
}

}  // namespace

int FindRegion(const std::vector<Region>& regions, uint32_t tensor, const Box& box) {
  const auto found = std::find_if(regions.begin(), regions.end(), [&](const Region& region) {
    return region.tensor == tensor && Contains(region.box, box);
  });
  return found == regions.end() ? -1 : static_cast<int>(found - regions.begin());
}

StealPlan MakeStealPlan(const Program& program, const Route& route) {
  StealPlan plan;
  plan.tasks.resize(program.tasks.size());
  plan.pool.resize(program.tasks.size());
  for (int number = 0; number < program.outputs(); ++number) {
    if (route.places[number] != kAnywhere) {
      continue;
    }
    const Task& task = program.tasks[number];
    OpenTask& open = plan.tasks[number].emplace();
    open.own = MakeWay(task.own, task.needs);
    AddToPool(open.own, &plan.pool);
    if (task.fallback) {
      open.fallback = MakeWay(*task.fallback, -1);
      AddToPool(*open.fallback, &plan.pool);
    }
    plan.queue.push_back(number);
  }
  return plan;
}

}  // namespace lcp_tvm::worker

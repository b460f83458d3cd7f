#include "pool.h"

#include <utility>

namespace lcp_tvm::worker {

using transport::Kind;

uint32_t Ring::Next(int asker) {
  auto next = nodes_.upper_bound(last_);
  for (size_t i = 0; i < nodes_.size(); ++i, ++next) {
    if (next == nodes_.end()) {
      next = nodes_.begin();
    }
    if (*next != asker) {
      last_ = *next;
      return static_cast<uint32_t>(last_);
    }
  }
  return transport::kNobody;
}

void Pool::Put(uint64_t frame, const RoutePlan& route, int task, int region, int from,
               BlockRef block) {
  Result& result = frames_[frame][task];
  if (result.blocks.empty()) {
    result.from = from;
    result.missing = route.steal.pool[task].size();
    result.blocks.resize(result.missing);
  }
  if (result.blocks[region] != nullptr) {
    return;
  }
  result.blocks[region] = std::move(block);
  if (--result.missing == 0) {
    core_.Tell(route.route.source,
               Note(Kind::kPooled, frame, route.route.id, static_cast<uint32_t>(task)));
  }
}

void Pool::Fetch(uint64_t frame, const RoutePlan& route, int task, bool is_fallback, int taker) {
  for (const Share& share : route.steal.Open(task).way(is_fallback).others) {
    SendShare(frame, route, share, task, taker);
  }
  core_.Tell(taker,
             Note(Kind::kFetch, frame, route.route.id, static_cast<uint32_t>(task), kAllFetched));
}

void Pool::SendShare(uint64_t frame, const RoutePlan& route, const Share& share, int task,
                     int taker) {
  const auto& results = frames_[frame];
  const auto result = results.find(share.producer);
  if (result == results.end() || result->second.missing > 0 || result->second.from == taker) {
    return;
  }
  for (const Region& region : share.regions) {
    const int held = FindRegion(route.steal.pool[share.producer], region.tensor, region.box);
    core_.SendRegion(taker, frame, route.route.id, share.producer, static_cast<uint32_t>(task),
                     result->second.blocks[held], region.box);
  }
}

}  // namespace lcp_tvm::worker

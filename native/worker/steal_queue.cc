#include "steal_queue.h"

#include <algorithm>

#include "alarm.h"

namespace lcp_tvm::worker {

using transport::Kind;

void StealQueue::Begin(uint64_t frame, const RoutePlan& route,
                       const std::vector<BlockRef>& inputs) {
  if (route.steal.queue.empty()) {
    return;
  }
  const size_t tasks = program_.tasks.size();
  frames_[frame] = {&route,
                    inputs,
                    route.steal.queue,
                    std::vector<int>(tasks, kAnywhere),
                    std::vector<bool>(tasks),
                    {}};
  if (frames_.size() == 1) {
    core_.Tell(program_.gateway, Note(Kind::kWork));
  }
}

void StealQueue::Ask(int peer) {
  if (std::count(askers_.begin(), askers_.end(), peer) == 0) {
    askers_.push_back(peer);
    Answer();
  }
}

void StealQueue::Sent(int peer) {
  if (peer == receiver_ && unsent_ > 0) {
    --unsent_;
    Answer();
  }
}

void StealQueue::Lost(int peer) {
  askers_.erase(std::remove(askers_.begin(), askers_.end(), peer), askers_.end());
  if (peer == receiver_) {
    unsent_ = 0;
    Answer();
  }
}

void StealQueue::Answer() {
  while (unsent_ == 0 && !askers_.empty()) {
    const int peer = askers_.front();
    askers_.pop_front();
    if (!Serve(peer)) {
      core_.Tell(peer, Note(Kind::kNoTask));
    }
  }
}

bool StealQueue::Serve(int taker) {
  for (auto entry = frames_.begin(); entry != frames_.end(); ++entry) {
    if (entry->second.route->route.takes[taker] && ServeFrom(entry, taker)) {
      return true;
    }
  }
  return false;
}

void StealQueue::Pooled(uint64_t frame, int task) {
  const auto entry = frames_.find(frame);
  if (entry != frames_.end()) {
    entry->second.pooled[task] = true;
  }
}

void StealQueue::End(uint64_t frame) {
  const auto entry = frames_.find(frame);
  if (entry != frames_.end()) {
    Erase(entry);
  }
}

bool StealQueue::ServeFrom(Entries::iterator entry, int taker) {
  Entry& frame = entry->second;
  for (const int task : frame.queue) {
    const OpenTask& open = frame.route->steal.Open(task);
    if (IsReady(frame, open.own, taker)) {
      Give(entry, task, false, taker);
      return true;
    }
    if (HasWaited(&frame, task) && open.fallback && IsReady(frame, *open.fallback, taker)) {
      Give(entry, task, true, taker);
      return true;
    }
  }
  return false;
}

bool StealQueue::IsReady(const Entry& entry, const OpenWay& way, int taker) const {
  const auto ready = std::count_if(way.reads.begin(), way.reads.end(), [&](const auto& producers) {
    return std::all_of(producers.begin(), producers.end(), [&](int task) {
      return entry.pooled[task] || entry.taken_by[task] == taker;
    });
  });
  return ready >= way.needs;
}

bool StealQueue::HasWaited(Entry* entry, int task) const {
  const int64_t now = NowNs();
  const int64_t since = entry->passed_over_ns.emplace(task, now).first->second;
  return now - since >= program_.patience_ms * 1'000'000;
}

void StealQueue::Give(Entries::iterator entry, int task, bool is_fallback, int taker) {
  Entry& frame = entry->second;
  const uint32_t route = frame.route->route.id;
  core_.Tell(taker, Note(Kind::kTask, entry->first, route, static_cast<uint32_t>(task),
                         is_fallback ? 1 : 0));
  const std::vector<Region>& regions = frame.route->steal.Open(task).way(is_fallback).frame;
  if (taker != program_.node) {
    receiver_ = taker;
    unsent_ = regions.size();
  }
  for (const Region& region : regions) {
    const auto input = std::find(program_.inputs.begin(), program_.inputs.end(), region.tensor);
    core_.SendRegion(taker, entry->first, route, kFrame, static_cast<uint32_t>(task),
                     frame.inputs[input - program_.inputs.begin()], region.box);
  }
  frame.taken_by[task] = taker;
  frame.queue.erase(std::find(frame.queue.begin(), frame.queue.end(), task));
  if (frame.queue.empty()) {
    Erase(entry);
  }
}

void StealQueue::Erase(Entries::iterator entry) {
  frames_.erase(entry);
  if (frames_.empty()) {
    core_.Tell(program_.gateway, Note(Kind::kNoWork));
  }
}

}  // namespace lcp_tvm::worker

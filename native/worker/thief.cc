#include "thief.h"

#include <algorithm>

namespace lcp_tvm::worker {

using transport::Kind;

namespace {

/*! \brief Whoever has had nothing to do for long sleeps this fraction of that time. */
constexpr int64_t kLonger = 1000;

}  // namespace

void Thief::AddRoute(const Route& route) {
  const bool has_open = std::count(route.places.begin(), route.places.end(), kAnywhere) > 0;
  if (!has_open || !route.takes[program_.node]) {
    return;
  }
  has_peers_ = has_peers_ || std::count(route.takes.begin(), route.takes.end(), true) > 1;
  if (!may_take_) {
    may_take_ = true;
    idle_since_ns_ = NowNs();
  }
}

void Thief::Seek() {
  const int64_t now = NowNs();
  if (asking_ && now - asked_ns_ > answer_ns_) {
    Sleep();
  }
  if (!may_take_ || asking_ || core_.IdleThreads() <= static_cast<int>(taken_.size())) {
    return;
  }
  const bool is_served = serve_itself_();
  if (!is_served && (now < awake_ns_ || !has_peers_)) {
    return;
  }
  asking_ = true;
  asked_ns_ = now;
  victim_ = kAnywhere;
  if (!is_served) {
    core_.Tell(program_.gateway, Note(Kind::kWho));
  }
}

int64_t Thief::NextNs() const {
  if (!may_take_ || !has_peers_ || core_.IdleThreads() <= static_cast<int>(taken_.size())) {
    return kNever;
  }
  return asking_ ? asked_ns_ + answer_ns_ + 1 : awake_ns_;
}

void Thief::Hint(uint32_t victim) {
  answer_ns_ = kAnswerNs;
  if (!asking_) {
    return;
  }
  if (victim >= program_.nodes.size()) {
    Sleep();
    return;
  }
  victim_ = static_cast<int>(victim);
  core_.Tell(victim_, Note(Kind::kSteal));
}

void Thief::NoTask() { Sleep(); }

void Thief::Sleep() {
  const int64_t now = NowNs();
  asking_ = false;
  awake_ns_ = now + std::max(program_.poll_ms * 1'000'000, (now - idle_since_ns_) / kLonger);
}

void Thief::Take(uint64_t frame, const RoutePlan& route, int task, bool is_fallback, int from) {
  asking_ = false;
  const Task& facts = program_.tasks[task];
  const OpenWay& way = route.steal.Open(task).way(is_fallback);
  const int needs = is_fallback ? -1 : facts.needs;
  Job job{frame,
          task,
          is_fallback,
          from != program_.node,
          std::make_unique<Gather>(&facts.way(is_fallback).reads, needs),
          {}};
  const auto [entry, is_new] = taken_.try_emplace(
      Key{frame, task}, Taken{std::move(job), &way, way.frame.size(), false, {}});
  if (!is_new) {
    return;
  }
  Taken& taken = entry->second;
  for (const Share& share : way.others) {
    const Key other{frame, share.producer};
    const auto kept = kept_.find(other);
    if (kept != kept_.end()) {
      for (const BlockRef& block : kept->second) {
        taken.job.gather->PutAll(share.producer, block);
      }
    } else if (computing_.count(other) > 0) {
      taken.awaited.push_back(share.producer);
    } else {
      taken.is_fetching = true;
    }
  }
  computing_[{frame, task}] = true;
  if (taken.is_fetching) {
    core_.Tell(program_.gateway, Note(Kind::kFetch, frame, route.route.id,
                                      static_cast<uint32_t>(task), is_fallback ? 1 : 0));
  }
  StartIfReady(entry);
}

void Thief::Fetched(uint64_t frame, int task) {
  const auto entry = taken_.find({frame, task});
  if (entry != taken_.end()) {
    entry->second.is_fetching = false;
    StartIfReady(entry);
  }
}

Thief::Wanted Thief::Wants(uint64_t frame, int task, int producer, uint32_t tensor,
                           const Box& box) const {
  const auto entry = taken_.find({frame, task});
  if (entry == taken_.end()) {
    return Wanted::kNo;
  }
  const OpenWay& way = *entry->second.way;
  const auto holds = [&](const std::vector<Region>& regions) {
    const int found = FindRegion(regions, tensor, box);
    return found >= 0 && regions[found].box == box;
  };
  const bool is_due =
      producer == kFrame
          ? holds(way.frame)
          : std::any_of(way.others.begin(), way.others.end(), [&](const Share& share) {
              return share.producer == producer && holds(share.regions);
            });
  return is_due ? Wanted::kYes : Wanted::kNeverAsked;
}

void Thief::Put(uint64_t frame, int task, int producer, const BlockRef& block) {
  const auto entry = taken_.find({frame, task});
  if (entry == taken_.end()) {
    return;
  }
  Taken& taken = entry->second;
  taken.job.gather->PutAll(producer, block);
  if (producer == kFrame && taken.frame_left > 0) {
    --taken.frame_left;
  }
  StartIfReady(entry);
}

void Thief::StartIfReady(std::map<Key, Taken>::iterator entry) {
  Taken& taken = entry->second;
  if (taken.frame_left > 0 || taken.is_fetching || !taken.awaited.empty()) {
    return;
  }
  Job job = std::move(taken.job);
  taken_.erase(entry);
  if (job.gather->IsReady()) {
    core_.Submit(std::move(job));
  } else {
    core_.Fail(job.frame, "task '" + program_.tasks[job.task].name +
                              "': the gateway's pool lacks what the task reads");
  }
}

void Thief::Keep(uint64_t frame, int task, std::vector<BlockRef> blocks) {
  computing_.erase({frame, task});
  std::vector<Key> waiting;
  for (auto& [key, taken] : taken_) {
    const auto awaited = std::find(taken.awaited.begin(), taken.awaited.end(), task);
    if (key.first == frame && awaited != taken.awaited.end()) {
      taken.awaited.erase(awaited);
      for (const BlockRef& block : blocks) {
        taken.job.gather->PutAll(task, block);
      }
      waiting.push_back(key);
    }
  }
  if (!blocks.empty()) {
    kept_[{frame, task}] = std::move(blocks);
  }
  for (const Key& key : waiting) {
    StartIfReady(taken_.find(key));
  }
}

void Thief::Done() {
  idle_since_ns_ = NowNs();
  awake_ns_ = 0;
}

void Thief::End(uint64_t frame) {
  const auto erase = [frame](auto* entries) {
    entries->erase(entries->lower_bound({frame, 0}), entries->lower_bound({frame + 1, 0}));
  };
  erase(&taken_);
  erase(&kept_);
  erase(&computing_);
}

void Thief::Lost(int peer) {
  if (peer == program_.gateway) {
    answer_ns_ = program_.poll_ms * 1'000'000;  // ask until there is one again
  }
  if (asking_ && (peer == program_.gateway || peer == victim_)) {
    Sleep();
  }
}

}  // namespace lcp_tvm::worker

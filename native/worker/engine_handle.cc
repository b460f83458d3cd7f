// What messages and results bring about.
#include <algorithm>
#include <cstring>

#include "engine.h"

namespace lcp_tvm::worker {

using transport::Header;
using transport::Kind;
using transport::Passage;
using transport::Place;

namespace {

/*! \brief A BEGIN's word: only tasks that read nothing are to be told. */
constexpr uint32_t kReadless = 1;

int64_t ClockOf(const std::string& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < sizeof(value); ++i) {
    value |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  }
  return static_cast<int64_t>(value);
}

}  // namespace

void Engine::Received(int peer, const Header& header, Place place, const Passage& passage) {
  const Turn turn(this);
  // Let go of before the turn ends: a task that it starts is the last to hold what it reads.
  const std::shared_ptr<void> keep = std::move(place.keep);
  if (stopping_) {
    return;
  }
  stats_.Received(peer, header, passage);
  if (header.kind == Kind::kRegion || header.kind == Kind::kInput) {
    progress_ns_ = NowNs();
    Handle(peer, header, std::static_pointer_cast<const Block>(keep), "");
  } else if (header.kind == Kind::kPong) {
    const auto clock = std::static_pointer_cast<const std::string>(keep);
    heartbeat_.Answer(peer, header.frame, ClockOf(*clock), &stats_);
  } else {
    Handle(peer, header, nullptr, *std::static_pointer_cast<const std::string>(keep));
  }
}

void Engine::Sent(int peer, const Header& header, const Passage& passage) {
  const Turn turn(this);
  if (stopping_) {
    return;
  }
  progress_ns_ = NowNs();
  stats_.Sent(peer, header, passage);
  const bool is_for_thief = header.kind == Kind::kRegion && header.task == transport::kFrameTask &&
                            header.word < program_.tasks.size();
  if (is_for_thief) {
    queue_.Sent(peer);
  }
  dealer_.Sent(peer, header);
}

void Engine::Lost(int peer, const std::string& why) {
  const Turn turn(this);
  if (stopping_) {
    return;
  }
  PeerLost(peer, why);
}

void Engine::Handle(int peer, const Header& header, const BlockRef& block,
                    const std::string& text) {
  switch (header.kind) {
    case Kind::kEnd:
      EndFrame(header.frame);
      return;
    case Kind::kLink:
      inbox_.Push({"link", -1, peer, program_.nodes[header.word], {}});
      return;
    case Kind::kWork:
      ring_.Add(peer);
      return;
    case Kind::kNoWork:
      ring_.Remove(peer);
      return;
    case Kind::kWho:
      Tell(peer, Note(Kind::kHint, 0, 0, 0, ring_.Next(peer)));
      return;
    case Kind::kHint:
      thief_.Hint(header.word);
      return;
    case Kind::kSteal:
      queue_.Ask(peer);
      return;
    case Kind::kNoTask:
      thief_.NoTask();
      return;
    default:
      break;
  }
  FrameState* frame = FrameOf(header);
  if (frame != nullptr) {
    HandleForFrame(peer, header, block, text, frame);
  } else if (header.kind == Kind::kTask) {
    thief_.NoTask();  // of a frame that has ended meanwhile
  }
}

void Engine::HandleForFrame(int peer, const Header& header, const BlockRef& block,
                            const std::string& text, FrameState* frame) {
  const auto task = static_cast<int>(header.task);
  const bool is_fallback = header.word == 1;
  const Route& route = frame->route->route;
  // Of tasks that exist, these kinds concern those that are open, and ways that there are.
  const bool concerns_task = header.kind == Kind::kTask || header.kind == Kind::kFetch;
  if (concerns_task) {
    const auto& open = frame->route->steal.tasks[task];
    if (!open || (is_fallback && !open->fallback)) {
      return;
    }
  }
  switch (header.kind) {
    case Kind::kInput:
      TakeInput(block, frame);
      return;
    case Kind::kRegion:
      TakeRegion(peer, header, block, frame);
      return;
    case Kind::kBegin:
      if (header.word == kReadless && peer == route.frame_place(program_)) {
        StartReadless(frame);
      } else if (peer == program_.client && route.source == program_.node) {
        BeginKept(text, frame);
      }
      return;
    case Kind::kFailed:
      inbox_.Push(
          {"failed", static_cast<int64_t>(frame->number), static_cast<int>(header.word), text, {}});
      EndEverywhere(frame->number);
      return;
    case Kind::kTask:
      if (route.takes[program_.node]) {
        thief_.Take(frame->number, *frame->route, task, is_fallback, peer);
      }
      return;
    case Kind::kFetch:
      if (header.word == kAllFetched) {
        thief_.Fetched(frame->number, task);
      } else {
        pool_.Fetch(frame->number, *frame->route, task, is_fallback, peer);
      }
      return;
    case Kind::kPooled:
      queue_.Pooled(frame->number, task);
      return;
    default:
      return;
  }
}

void Engine::TakeRegion(int peer, const Header& header, const BlockRef& block, FrameState* frame) {
  const int producer =
      header.task == transport::kFrameTask ? kFrame : static_cast<int>(header.task);
  if (header.word == kSettled) {
    const Supply* supply = frame->route->wiring.Find(producer, header.tensor, header.box);
    if (supply != nullptr) {
      Spread(*supply, block, frame);
    }
  } else if (header.word == kPool) {
    const int region = FindRegion(frame->route->steal.pool[producer], header.tensor, header.box);
    pool_.Put(frame->number, *frame->route, producer, region, peer, block);
  } else {
    thief_.Put(frame->number, static_cast<int>(header.word), producer, block);
  }
}

void Engine::TakeInput(const BlockRef& block, FrameState* frame) {
  const auto& inputs = program_.inputs;
  const auto number = std::find(inputs.begin(), inputs.end(), block->tensor) - inputs.begin();
  if (frame->inputs_missing == 0 || frame->inputs[number] != nullptr) {
    return;
  }
  frame->inputs[number] = block;
  if (--frame->inputs_missing == 0) {
    HandOut(frame);
  }
}

void Engine::BeginKept(const std::string& name, FrameState* frame) {
  const auto kept = kept_.find(name);
  if (kept == kept_.end()) {
    Fail(frame->number, "no inputs are kept under '" + name + "'");
  } else if (frame->inputs_missing > 0) {
    frame->inputs = kept->second;
    frame->inputs_missing = 0;
    HandOut(frame);
  }
}

void Engine::HandOut(FrameState* frame) {
  const RoutePlan& plan = *frame->route;
  const std::vector<BlockRef> inputs = std::exchange(frame->inputs, {});
  const int place = plan.route.frame_place(program_);
  if (place != program_.node) {
    for (const BlockRef& block : inputs) {
      SendInput(place, *frame, block);
    }
    return;
  }
  for (const int node : plan.wiring.tell) {
    Tell(node, Note(Kind::kBegin, frame->number, plan.route.id, transport::kFrameTask, kReadless));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    Spread(plan.wiring.supplies[plan.wiring.inputs[i]], inputs[i], frame);
  }
  StartReadless(frame);
  if (plan.route.policy == Policy::kStealing) {
    queue_.Begin(frame->number, plan, inputs);
  }
}

void Engine::Spread(const Supply& supply, const BlockRef& block, FrameState* frame) {
  const Route& route = frame->route->route;
  const bool deals = route.policy == Policy::kSharing && program_.node == program_.gateway;
  for (const Send& send : supply.sends) {
    const Header header =
        RegionHeader(frame->number, route.id, supply.producer, kSettled, block->tensor, send.box);
    if (deals) {
      dealer_.Send({send.node, header, block});
    } else {
      Post(send.node, header, block);
    }
  }
  for (const Use& use : supply.uses) {
    const bool is_output = use.task == program_.outputs();
    auto [entry, is_new] = frame->gathers.try_emplace(use.task);
    if (is_new) {
      ++frame->unfinished;
      entry->second = std::make_unique<Gather>(
          is_output ? &program_.collect : &program_.tasks[use.task].own.reads,
          is_output ? -1 : program_.tasks[use.task].needs);
    }
    if (entry->second == nullptr) {
      continue;  // it has started without
    }
    entry->second->Put(use.read, use.piece, block);
    if (entry->second->IsReady()) {
      Start(use.task, frame);
    }
  }
}

void Engine::StartReadless(FrameState* frame) {
  for (const int task : frame->route->wiring.readless) {
    const auto [entry, is_new] = frame->gathers.try_emplace(task);
    if (is_new) {
      ++frame->unfinished;
      entry->second = std::make_unique<Gather>(&program_.tasks[task].own.reads, -1);
      Start(task, frame);
    }
  }
}

void Engine::Start(int task, FrameState* frame) {
  std::unique_ptr<Gather> gather = std::exchange(frame->gathers[task], nullptr);
  --frame->unfinished;
  if (task == program_.outputs()) {
    inbox_.Push({"done", static_cast<int64_t>(frame->number), -1, "", std::move(gather)});
    endings_.push_back({frame->number, ""});
    return;
  }
  Submit({frame->number, task, false, false, std::move(gather), Charge()});
}

void Engine::Complete(Job job, Outcome outcome) {
  --running_;
  progress_ns_ = NowNs();
  stats_.Computed(job, outcome);
  thief_.Done();
  FrameState* frame = frames_.Find(job.frame);
  if (frame == nullptr) {
    return;
  }
  --frame->unfinished;
  if (!outcome.problem.empty()) {
    Fail(job.frame, "task '" + program_.tasks[job.task].name + "': " + outcome.problem);
    return;
  }
  const RoutePlan& plan = *frame->route;
  job.gather.reset();
  if (plan.route.policy == Policy::kStealing) {
    GiveToPool(job, outcome.results, frame);
  }
  const std::vector<int>& supplies = plan.wiring.results[job.task];
  for (size_t i = 0; i < outcome.results.size(); ++i) {
    Spread(plan.wiring.supplies[supplies[i]], outcome.results[i], frame);
  }
}

void Engine::GiveToPool(const Job& job, const std::vector<BlockRef>& results, FrameState* frame) {
  const RoutePlan& plan = *frame->route;
  std::vector<BlockRef> kept;
  for (const Region& region : plan.steal.pool[job.task]) {
    const auto block = std::find_if(results.begin(), results.end(), [&](const BlockRef& result) {
      return result->tensor == region.tensor && Contains(result->box, region.box);
    });
    SendRegion(program_.gateway, job.frame, plan.route.id, job.task, kPool, *block, region.box);
    if (std::count(kept.begin(), kept.end(), *block) == 0) {
      kept.push_back(*block);
    }
  }
  if (plan.route.takes[program_.node]) {
    thief_.Keep(job.frame, job.task, std::move(kept));
  }
}

}  // namespace lcp_tvm::worker

#include "schedule.h"

#include <algorithm>

#include "fail.h"

namespace lcp_tvm::vta {

namespace {

constexpr size_t kCommandDepth = 512;
constexpr size_t kTokenDepth = 1024;

enum QueueId { kLoadToCompute, kComputeToLoad, kComputeToStore, kStoreToCompute, kNumQueues };
constexpr int kNone = -1;
constexpr std::array<const char*, kNumQueues> kQueueNames = {"load->compute", "compute->load",
                                                             "compute->store", "store->compute"};

// The queues a unit sees as prev and next (vta.md, "Stages").
struct Ports {
  int pop_prev, pop_next, push_prev, push_next;
};
constexpr std::array<Ports, kNumUnits> kPorts = {{
    {kNone, kComputeToLoad, kNone, kLoadToCompute},
    {kLoadToCompute, kStoreToCompute, kComputeToLoad, kComputeToStore},
    {kComputeToStore, kNone, kStoreToCompute, kNone},
}};

struct Token {
  double time;
  Clock known;
};

struct TokenQueue {
  std::vector<Token> pushed;
  std::vector<double> popped;  // times
  size_t size() const { return pushed.size() - popped.size(); }
};

struct UnitState {
  size_t dispatched = 0;  // instructions that fetch has handed over
  size_t started = 0;     // of them, those that have their tokens
  size_t done = 0;
  int phase = 0;  // the next of kPhases for instruction `done`
  double time = 0;
  Clock known{};
  std::vector<double> arrival;  // dispatch time by place
  std::vector<double> start;    // start time by place
};

// What a unit does with one instruction, in order; each may block.
enum Phase { kPopPrev, kPopNext, kExecute, kPushPrev, kPushNext, kNumPhases };

class Queues {
 public:
  explicit Queues(const Stream& stream) : stream_(stream) {
    schedule_.slots.resize(stream.steps.size());
    schedule_.order.reserve(stream.steps.size());
  }

  Schedule Run() {
    bool progress = true;
    while (progress) {
      progress = Fetch();
      for (int unit = 0; unit < kNumUnits; ++unit) {
        while (Advance(static_cast<Unit>(unit))) {
          progress = true;
        }
      }
    }
    CheckAllDone();
    CheckFinish();
    return std::move(schedule_);
  }

 private:
  bool Fetch() {
    bool progress = false;
    while (fetched_ < stream_.steps.size()) {
      UnitState& unit = units_[stream_.steps[fetched_].unit];
      if (unit.dispatched - unit.started >= kCommandDepth) {
        break;
      }
      if (unit.dispatched >= kCommandDepth) {
        fetch_time_ = std::max(fetch_time_, unit.start[unit.dispatched - kCommandDepth]);
      }
      unit.arrival.push_back(fetch_time_);
      ++unit.dispatched;
      ++fetched_;
      progress = true;
    }
    return progress;
  }

  /*! \brief One phase of a unit's current instruction; false when it must wait. */
  bool Advance(Unit id) {
    UnitState& unit = units_[id];
    if (unit.done >= unit.dispatched) {
      return false;
    }
    const uint32_t index = stream_.by_unit[id][unit.done];
    const Step& step = stream_.steps[index];
    const Ports& ports = kPorts[id];
    switch (unit.phase) {
      case kPopPrev:
        unit.time = std::max(unit.time, unit.arrival[unit.done]);
        if (step.pop_prev && !Pop(&unit, ports.pop_prev)) {
          return false;
        }
        break;
      case kPopNext:
        if (step.pop_next && !Pop(&unit, ports.pop_next)) {
          return false;
        }
        break;
      case kExecute: {
        Slot& slot = schedule_.slots[index];
        unit.start.push_back(unit.time);
        ++unit.started;
        slot.known = unit.known;
        unit.time += step.work.cycles;
        unit.known[id] = step.number;
        slot.finish = unit.time;
        schedule_.cycles = std::max(schedule_.cycles, slot.finish);
        schedule_.order.push_back(index);
        break;
      }
      case kPushPrev:
        if (step.push_prev && !Push(&unit, ports.push_prev)) {
          return false;
        }
        break;
      default:
        if (step.push_next && !Push(&unit, ports.push_next)) {
          return false;
        }
        break;
    }
    if (++unit.phase == kNumPhases) {
      unit.phase = kPopPrev;
      ++unit.done;
    }
    return true;
  }

  bool Pop(UnitState* unit, int id) {
    TokenQueue& queue = queues_[id];
    if (queue.size() == 0) {
      return false;
    }
    const Token& token = queue.pushed[queue.popped.size()];
    unit->time = std::max(unit->time, token.time);
    for (int u = 0; u < kNumUnits; ++u) {
      unit->known[u] = std::max(unit->known[u], token.known[u]);
    }
    queue.popped.push_back(unit->time);
    return true;
  }

  bool Push(UnitState* unit, int id) {
    TokenQueue& queue = queues_[id];
    if (queue.size() >= kTokenDepth) {
      return false;
    }
    if (queue.pushed.size() >= kTokenDepth) {
      unit->time = std::max(unit->time, queue.popped[queue.pushed.size() - kTokenDepth]);
    }
    queue.pushed.push_back({unit->time, unit->known});
    return true;
  }

  /*! \brief What a unit that cannot go on waits for. */
  std::string Waiting(Unit id) const {
    const UnitState& unit = units_[id];
    const std::string name = kUnitNames[id];
    if (unit.done == stream_.by_unit[id].size()) {
      return name + " has finished";
    }
    if (unit.done == unit.dispatched) {
      return name + " waits for fetch to bring " + stream_.Name(stream_.by_unit[id][unit.done]);
    }
    const Ports& ports = kPorts[id];
    const std::string at = name + " waits at " + stream_.Name(stream_.by_unit[id][unit.done]);
    switch (unit.phase) {
      case kPopPrev:
        return at + " for a token of " + kQueueNames[ports.pop_prev];
      case kPopNext:
        return at + " for a token of " + kQueueNames[ports.pop_next];
      case kPushPrev:
        return at + " for room in " + kQueueNames[ports.push_prev];
      default:
        return at + " for room in " + kQueueNames[ports.push_next];
    }
  }

  void CheckAllDone() const {
    bool done = true;
    for (int u = 0; u < kNumUnits; ++u) {
      done = done && units_[u].done == stream_.by_unit[u].size();
    }
    if (done) {
      return;
    }
    std::string message = "deadlock";
    for (int u = 0; u < kNumUnits; ++u) {
      message += (u == 0 ? ": " : "; ") + Waiting(static_cast<Unit>(u));
    }
    if (fetched_ < stream_.steps.size()) {
      message += "; fetch waits at " + stream_.Name(fetched_) + " for room in the " +
                 kUnitNames[stream_.steps[fetched_].unit] + " queue of " +
                 std::to_string(kCommandDepth) + " instructions";
    }
    FailSim(message);
  }

  void CheckFinish() const {
    const size_t last = stream_.steps.size() - 1;
    const Slot& finish = schedule_.slots[last];
    for (int q = 0; q < kNumQueues; ++q) {
      if (queues_[q].size() != 0) {
        FailSim(std::to_string(queues_[q].size()) + " token(s) are left in queue " +
                kQueueNames[q] + " at FINISH; they would stay for the next program");
      }
    }
    for (const Unit unit : {kLoad, kStore}) {
      const std::vector<uint32_t>& all = stream_.by_unit[unit];
      if (finish.known[unit] < all.size()) {
        FailSim(stream_.Name(last) + " is not ordered after " +
                stream_.Name(all[finish.known[unit]]) +
                "; the host would see done before that has finished, so FINISH must be known, by "
                "tokens, to come after every load and store");
      }
    }
  }

  const Stream& stream_;
  Schedule schedule_;
  size_t fetched_ = 0;
  double fetch_time_ = 0;
  std::array<UnitState, kNumUnits> units_;
  std::array<TokenQueue, kNumQueues> queues_;
};

}  // namespace

Schedule RunQueues(const Stream& stream) { return Queues(stream).Run(); }

}  // namespace lcp_tvm::vta

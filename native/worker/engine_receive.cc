// What is due from peers, and where it goes.
#include <algorithm>
#include <new>

#include "engine.h"

namespace lcp_tvm::worker {

using transport::Header;
using transport::Kind;
using transport::Place;

namespace {

/*! \brief The first number that is no frame's. */
constexpr uint64_t kFrameEnd = uint64_t{1} << 63;

Place Refuse(std::string why) { return {Place::Verdict::kClose, nullptr, nullptr, std::move(why)}; }

Place Drop() { return {Place::Verdict::kDrop, nullptr, nullptr, ""}; }

/*! \brief A place for text, or a few bytes; none for nothing. */
Place TakeText(uint64_t bytes) {
  auto text = std::make_shared<std::string>(bytes, '\0');
  auto* data = reinterpret_cast<uint8_t*>(text->data());
  return {Place::Verdict::kTake, data, std::move(text), ""};
}

int ProducerOf(const Header& header) {
  return header.task == transport::kFrameTask ? kFrame : static_cast<int>(header.task);
}

std::string Megabytes(uint64_t bytes) {
  const uint64_t tenths = (bytes + 52'428) / 104'858;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MiB";
}

}  // namespace

Place Engine::Receive(int peer, const Header& header) {
  const Turn turn(this);
  if (stopping_) {
    return Drop();
  }
  std::string problem = DutyProblem(peer, header);
  if (!problem.empty()) {
    return Refuse(std::move(problem));
  }
  if (header.kind != Kind::kRegion && header.kind != Kind::kInput) {
    return TakeText(header.payload);
  }
  try {
    return ReceiveElements(peer, header);
  } catch (const std::bad_alloc&) {
    Fail(header.frame, "the system has no memory for " + Megabytes(header.payload));
    return Drop();
  }
}

std::string Engine::DutyProblem(int peer, const Header& header) const {
  const auto tasks = static_cast<uint32_t>(program_.tasks.size());
  const std::string what = std::string(transport::Name(header.kind)) + " ";
  if (header.frame >= kFrameEnd) {
    return what + "of frame " + std::to_string(header.frame);
  }
  switch (header.kind) {
    case Kind::kEnd:
      return peer == program_.client ? "" : what + "comes from the client alone";
    case Kind::kFailed:
    case Kind::kLink:
      return IsClient() && header.word < program_.nodes.size() ? "" : what + "goes to the client";
    case Kind::kWork:
    case Kind::kNoWork:
    case Kind::kWho:
      return program_.node == program_.gateway ? "" : what + "goes to the gateway";
    case Kind::kHint:
      return peer == program_.gateway ? "" : what + "comes from the gateway alone";
    case Kind::kPooled:
    case Kind::kFetch:
      if (header.kind == Kind::kPooled || header.word == kAllFetched) {
        if (peer != program_.gateway) {
          return what + "comes from the gateway alone";
        }
      } else if (program_.node != program_.gateway) {
        return what + "goes to the gateway";
      }
      [[fallthrough]];
    case Kind::kTask:
      return header.task < tasks && header.word <= kAllFetched
                 ? ""
                 : what + "of a task that does not exist";
    case Kind::kRegion:
      if (header.task >= tasks && header.task != transport::kFrameTask) {
        return what + "of a task that does not exist";
      }
      [[fallthrough]];
    case Kind::kInput:
      return header.tensor < program_.tensors.size() &&
                     Contains(program_.tensors[header.tensor].box, header.box)
                 ? ""
                 : what + Text(header.box) + " is not in tensor " + std::to_string(header.tensor);
    default:
      return "";
  }
}

Place Engine::ReceiveElements(int peer, const Header& header) {
  if (IsOver(header.frame)) {
    return Drop();
  }
  const FrameState* known = frames_.Find(header.frame);
  const RoutePlan* route = known == nullptr ? FindRoute(header.route) : known->route;
  if (route == nullptr) {
    return Refuse("there is no route " + std::to_string(header.route));
  }
  bool is_wanted = header.kind == Kind::kRegion || known == nullptr || known->inputs_missing > 0;
  std::string problem = header.kind == Kind::kInput
                            ? InputProblem(peer, header, *route)
                            : RegionProblem(peer, header, *route, &is_wanted);
  if (problem.empty() && header.payload != program_.Bytes(header.tensor, header.box)) {
    problem = "it has " + std::to_string(header.payload) + " bytes";
  }
  if (!problem.empty()) {
    return Refuse(std::string(transport::Name(header.kind)) + " " + Text(header.box) +
                  " of tensor " + std::to_string(header.tensor) + ": " + problem);
  }
  if (!is_wanted) {
    return Drop();
  }
  if (FrameOf(header) == nullptr) {
    return Refuse("there are too many frames");
  }
  auto block = std::make_shared<Block>();
  // The oldest frame may have all of the memory, so that it comes to its end.
  const bool has_older = HasOlder(header.frame);
  if (!MakeRoom(header.payload, has_older ? call_bytes_ : 0, &block->charge)) {
    if (MayWait(header.payload, has_older || !ready_.empty())) {
      return {Place::Verdict::kWait, nullptr, nullptr, ""};
    }
    Fail(header.frame, "data of a frame: " + Shortage(header.payload));
    return Drop();
  }
  block->tensor = header.tensor;
  block->box = header.box;
  block->data = NewTensor(program_.tensors[header.tensor], header.box);
  return {Place::Verdict::kTake, block->bytes(), block, ""};
}

bool Engine::IsOver(uint64_t frame) const {
  if (IsClient()) {
    return frames_.all().count(frame) == 0;
  }
  // Without a client none is wanted, though a peer that has not seen it go may still bring one.
  return is_client_gone_ || frames_.HasEnded(frame);
}

FrameState* Engine::FrameOf(const Header& header) {
  FrameState* frame = frames_.Find(header.frame);
  if (frame != nullptr) {
    return frame;
  }
  const RoutePlan* route = FindRoute(header.route);
  if (route == nullptr || IsOver(header.frame) || frames_.IsFull()) {
    return nullptr;
  }
  stats_.Began(header.frame);
  return &frames_.Add(header.frame, *route, program_.inputs.size());
}

std::string Engine::InputProblem(int peer, const Header& header, const RoutePlan& plan) const {
  const Route& route = plan.route;
  const bool is_due = (program_.node == route.source && peer == program_.client) ||
                      (program_.node == route.frame_place(program_) && peer == route.source);
  if (!is_due) {
    return "the frame's inputs do not go this way";
  }
  const bool is_input =
      std::count(program_.inputs.begin(), program_.inputs.end(), header.tensor) > 0;
  return is_input && header.box == program_.tensors[header.tensor].box ? "" : "it is no input";
}

std::string Engine::RegionProblem(int peer, const Header& header, const RoutePlan& route,
                                  bool* is_wanted) const {
  const int producer = ProducerOf(header);
  if (header.word == kSettled) {
    const Supply* supply = route.wiring.Find(producer, header.tensor, header.box);
    const bool is_due = supply != nullptr && (supply->from == kAnywhere || supply->from == peer);
    return is_due ? "" : "nobody here reads it";
  }
  if (header.word == kPool) {
    const bool is_pool = program_.node == program_.gateway && producer != kFrame;
    const auto* regions = is_pool ? &route.steal.pool[producer] : nullptr;
    const int region = is_pool ? FindRegion(*regions, header.tensor, header.box) : -1;
    return region >= 0 && (*regions)[region].box == header.box ? "" : "it is not for the pool";
  }
  if (header.word >= program_.tasks.size()) {
    return "it is for a task that does not exist";
  }
  const Thief::Wanted wanted = thief_.Wants(header.frame, static_cast<int>(header.word), producer,
                                            header.tensor, header.box);
  *is_wanted = wanted == Thief::Wanted::kYes;
  return wanted == Thief::Wanted::kNeverAsked ? "the task does not read it" : "";
}

bool Engine::MakeRoom(uint64_t bytes, uint64_t leave, Charge* charge) {
  if (!budget_->Take(bytes, leave)) {
    starving_ = true;  // before the second attempt: what is freed after it rings the alarm
    if (!budget_->Take(bytes, leave)) {
      alarm_.RingBy(NowNs() + options_.silence_ms * 1'000'000);
      return false;
    }
  }
  *charge = Charge(budget_, bytes);
  return true;
}

bool Engine::MayWait(uint64_t bytes, bool has_older) const {
  if (bytes > budget_->limit()) {
    return false;
  }
  if (running_ > 0) {
    return true;
  }
  // Nodes that wait for each other's memory, or for what stands behind it, would wait for ever.
  if (NowNs() - progress_ns_ >= options_.silence_ms * 1'000'000) {
    return false;
  }
  bool is_sending = false;
  for (int peer = 0; peer < static_cast<int>(program_.nodes.size()); ++peer) {
    is_sending = is_sending || endpoint_->Queued(peer) > 0;
  }
  return has_older || is_sending;
}

bool Engine::HasOlder(uint64_t frame) const {
  const auto& all = frames_.all();
  return std::any_of(all.begin(), all.lower_bound(frame), [this](const auto& entry) {
    return entry.second.unfinished > 0 || queue_.Has(entry.first) || thief_.Has(entry.first);
  });
}

std::string Engine::Shortage(uint64_t bytes) const {
  return Megabytes(bytes) + " do not fit: " + Megabytes(budget_->held()) + " of " +
         Megabytes(budget_->limit()) +
         " are taken; allow more memory, or split the network further";
}

}  // namespace lcp_tvm::worker

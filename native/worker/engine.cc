#include "engine.h"

#include <algorithm>

#include "fail_node.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;
using transport::Header;
using transport::Kind;

namespace {

constexpr size_t kMaxRoutes = 1024;
constexpr size_t kMaxReason = 1000;

transport::EndpointOptions EndpointOptionsOf(const Program& program, const EngineOptions& options) {
  transport::EndpointOptions result;
  result.host = options.host;
  result.run = program.run;
  result.node = program.node;
  result.nodes = static_cast<int>(program.nodes.size());
  result.version = options.version;
  return result;
}

/*! \brief The beginning of a text, of whole characters. */
std::string Shortened(const std::string& text) {
  if (text.size() <= kMaxReason) {
    return text;
  }
  size_t size = kMaxReason;
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80) {
    --size;
  }
  return text.substr(0, size) + "...";
}

}  // namespace

Engine::Engine(Program program, EngineOptions options, Functions* functions,
               std::shared_ptr<MemoryBudget> budget)
    : program_(std::move(program)),
      options_(std::move(options)),
      functions_(functions),
      budget_(std::move(budget)),
      compute_(program_, functions),
      queue_(program_, this),
      pool_(program_, this),
      thief_(program_, this, [this] { return queue_.ServeSelf(); }),
      dealer_([this](const Dealer::Parcel& p) { Post(p.node, p.header, p.block); }),
      stats_(program_.trace),
      heartbeat_(options_.silence_ms * 1'000'000),
      alarm_([this] { Tick(); }),
      endpoint_(
          std::make_unique<transport::Endpoint>(EndpointOptionsOf(program_, options_), this)) {
  budget_->Watch(this, [this] {
    if (starving_.exchange(false)) {
      alarm_.RingBy(0);
    }
  });
  for (int thread = 0; thread < options_.cores; ++thread) {
    threads_.emplace_back([this, thread] { Work(thread); });
  }
}

Engine::~Engine() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  compute_.Hurry();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  budget_->Unwatch(this);
  alarm_.Stop();
  endpoint_.reset();
}

void Engine::Connect(const std::vector<PeerAddress>& peers, int timeout_ms) {
  const int64_t end_ns = NowNs() + int64_t{timeout_ms} * 1'000'000;
  for (const PeerAddress& peer : peers) {
    const int left_ms = static_cast<int>(std::max<int64_t>((end_ns - NowNs()) / 1'000'000, 1));
    if (peer.node < program_.node) {
      endpoint_->Connect(peer.node, peer.host, peer.port, left_ms);
    } else if (!endpoint_->WaitFor(peer.node, left_ms)) {
      FailNode("node '" + program_.nodes[peer.node] + "' did not connect within " +
               std::to_string(timeout_ms) + " ms");
    }
    const Turn turn(this);
    if (IsClient()) {
      heartbeat_.Add(peer.node);
    }
  }
}

void Engine::AddRoute(const std::string& json) {
  RoutePlan plan;
  plan.route = ReadRoute(json, program_);
  const uint64_t call_bytes = CheckFunctions(plan.route);
  plan.wiring = MakeWiring(program_, plan.route);
  plan.steal = MakeStealPlan(program_, plan.route);
  const Turn turn(this);
  if (routes_.size() >= kMaxRoutes) {
    FailNode("route: there are " + std::to_string(kMaxRoutes) + " already; at most so many");
  }
  const uint32_t id = plan.route.id;
  const auto [entry, is_new] = routes_.emplace(id, std::move(plan));
  if (!is_new) {
    FailNode("route: there is one of id " + std::to_string(id) + " already");
  }
  call_bytes_ = std::max(call_bytes_, call_bytes);
  if (options_.cores > 0) {
    thief_.AddRoute(entry->second.route);
  }
}

uint64_t Engine::CheckFunctions(const Route& route) const {
  uint64_t most = 0;
  for (int number = 0; number < program_.outputs(); ++number) {
    const int place = route.places[number];
    if (place != program_.node && (place != kAnywhere || !route.takes[program_.node])) {
      continue;
    }
    const Task& task = program_.tasks[number];
    for (const bool is_fallback : {false, true}) {
      if (is_fallback && !task.fallback) {
        continue;
      }
      const FunctionFacts& function = program_.functions[task.way(is_fallback).function];
      most = std::max(most, function.peak_bytes);
      if (!functions_->Knows(function.name)) {
        FailNode("route: task '" + task.name + "' is to run here, and function '" + function.name +
                 "' is not loaded");
      }
    }
  }
  return most;
}

void Engine::Keep(const std::string& name, const std::vector<const DLTensor*>& inputs) {
  if (inputs.size() != program_.inputs.size()) {
    FailNode(std::to_string(inputs.size()) + " inputs for a plan that has " +
             std::to_string(program_.inputs.size()));
  }
  std::vector<BlockRef> blocks;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const uint32_t number = program_.inputs[i];
    const TensorFacts& tensor = program_.tensors[number];
    const std::string problem = Mismatch(*inputs[i], tensor, tensor.box);
    if (!problem.empty()) {
      FailNode("input " + std::to_string(i) + " " + problem);
    }
    const uint64_t bytes = program_.Bytes(number, tensor.box);
    if (!budget_->Take(bytes)) {
      FailNode("inputs to keep: " + Shortage(bytes));
    }
    Charge charge(budget_, bytes);
    ffi::Tensor copy = NewTensor(tensor, tensor.box);
    const auto* from = static_cast<const uint8_t*>(inputs[i]->data) + inputs[i]->byte_offset;
    std::copy(from, from + bytes, static_cast<uint8_t*>(copy.data_ptr()));
    blocks.push_back(
        std::make_shared<Block>(Block{number, tensor.box, std::move(copy), std::move(charge)}));
  }
  const Turn turn(this);
  kept_[name] = std::move(blocks);
}

void Engine::Begin(uint64_t frame, uint32_t route, const std::string& name,
                   const std::vector<ffi::Tensor>& inputs) {
  std::vector<BlockRef> blocks;
  for (size_t i = 0; i < inputs.size() && i < program_.inputs.size(); ++i) {
    const uint32_t number = program_.inputs[i];
    const TensorFacts& tensor = program_.tensors[number];
    const std::string problem = Mismatch(*inputs[i].GetDLTensorPtr(), tensor, tensor.box);
    if (!problem.empty()) {
      FailNode("input " + std::to_string(i) + " " + problem);
    }
    blocks.push_back(std::make_shared<Block>(Block{number, tensor.box, inputs[i], Charge()}));
  }
  if (name.empty() && inputs.size() != program_.inputs.size()) {
    FailNode(std::to_string(inputs.size()) + " inputs for a plan that has " +
             std::to_string(program_.inputs.size()));
  }
  const Turn turn(this);
  const RoutePlan* plan = FindRoute(route);
  if (!IsClient() || plan == nullptr || frames_.IsFull()) {
    FailNode(!IsClient()       ? "only the client begins frames"
             : plan == nullptr ? "there is no route " + std::to_string(route)
                               : "there are too many frames");
  }
  if (frames_.Find(frame) != nullptr || frames_.HasEnded(frame)) {
    FailNode("there has been a frame " + std::to_string(frame) + " already");
  }
  FrameState& state = frames_.Add(frame, *plan, program_.inputs.size());
  stats_.Began(frame);
  const int source = plan->route.source;
  if (!name.empty()) {
    if (source == program_.node) {
      BeginKept(name, &state);
    } else {
      endpoint_->SendText(source, Note(Kind::kBegin, frame, route), name);
    }
    return;
  }
  for (const BlockRef& block : blocks) {
    if (source == program_.node) {
      TakeInput(block, &state);
    } else {
      SendInput(source, state, block);
    }
  }
}

void Engine::End(uint64_t frame) {
  const Turn turn(this);
  if (frames_.Find(frame) != nullptr) {
    EndEverywhere(frame);
  }
}

std::vector<int> Engine::Silent() {
  const Turn turn(this);
  return heartbeat_.Silent(*endpoint_, NowNs());
}

std::string Engine::TakeStats() {
  const Turn turn(this);
  return stats_.Take(budget_.get(), functions_->WeightBytes());
}

const RoutePlan* Engine::FindRoute(uint32_t id) const {
  const auto found = routes_.find(id);
  return found == routes_.end() ? nullptr : &found->second;
}

// What the parts ask.

void Engine::Tell(int node, const Header& note) {
  if (node == program_.node) {
    letters_.push_back({note, nullptr});
  } else {
    endpoint_->Send(node, note);
  }
}

void Engine::SendRegion(int node, uint64_t frame, uint32_t route, int producer, uint32_t word,
                        const BlockRef& block, const Box& part) {
  const Header header = RegionHeader(frame, route, producer, word, block->tensor, part);
  if (node == program_.node) {
    letters_.push_back({header, block});
  } else {
    Post(node, header, block);
  }
}

void Engine::SendInput(int node, const FrameState& frame, const BlockRef& block) {
  Header header = Note(Kind::kInput, frame.number, frame.route->route.id, transport::kFrameTask);
  header.tensor = block->tensor;
  header.box = block->box;
  Post(node, header, block);
}

void Engine::Post(int node, const Header& header, const BlockRef& block) {
  const uint32_t item_bytes = program_.tensors[block->tensor].item_bytes;
  endpoint_->Send(node, header, {block->bytes(), item_bytes, block->box, header.box, block});
}

void Engine::Submit(Job job) {
  const std::pair<uint64_t, int> key{job.frame, job.task};
  FrameState* frame = frames_.Find(job.frame);
  if (frame != nullptr && ready_.try_emplace(key, std::move(job)).second) {
    ++frame->unfinished;
    ++to_wake_;
  }
}

int Engine::IdleThreads() const {
  return options_.cores - running_ - static_cast<int>(ready_.size());
}

void Engine::Fail(uint64_t frame, const std::string& reason) {
  endings_.push_back({frame, Shortened(reason)});
}

// Turns.

void Engine::Settle(std::unique_lock<std::mutex>* lock) {
  while (!stopping_) {
    while (!letters_.empty()) {
      const Letter letter = std::move(letters_.front());
      letters_.pop_front();
      Handle(program_.node, letter.header, letter.block, "");
    }
    while (!endings_.empty()) {
      const Ending ending = std::move(endings_.front());
      endings_.pop_front();
      Conclude(ending);
    }
    thief_.Seek();
    if (letters_.empty() && endings_.empty()) {
      break;
    }
  }
  alarm_.RingBy(std::min(thief_.NextNs(), heartbeat_.NextNs()));
  int to_wake = std::exchange(to_wake_, 0);
  lock->unlock();
  for (; to_wake > 0; --to_wake) {
    work_.notify_one();
  }
}

void Engine::Conclude(const Ending& ending) {
  if (frames_.Find(ending.frame) == nullptr) {
    return;
  }
  if (IsClient()) {
    if (!ending.reason.empty()) {
      inbox_.Push({"failed", static_cast<int64_t>(ending.frame), program_.node, ending.reason, {}});
    }
    EndEverywhere(ending.frame);
    return;
  }
  const auto self = static_cast<uint32_t>(program_.node);
  endpoint_->SendText(program_.client, Note(Kind::kFailed, ending.frame, 0, 0, self),
                      ending.reason);
  EndFrame(ending.frame);
}

void Engine::EndFrame(uint64_t frame) {
  progress_ns_ = NowNs();
  frames_.End(frame);
  ready_.erase(ready_.lower_bound({frame, 0}), ready_.lower_bound({frame + 1, 0}));
  queue_.End(frame);
  pool_.End(frame);
  thief_.End(frame);
  dealer_.End(frame);
  stats_.Ended(frame);
}

void Engine::EndEverywhere(uint64_t frame) {
  EndFrame(frame);
  for (const int peer : heartbeat_.Peers()) {
    endpoint_->Send(peer, Note(Kind::kEnd, frame));
  }
}

void Engine::PeerLost(int peer, const std::string& why) {
  ring_.Remove(peer);
  queue_.Lost(peer);
  thief_.Lost(peer);
  dealer_.Lost(peer);
  if (IsClient()) {
    heartbeat_.Remove(peer);
    inbox_.Push({"lost", -1, peer, why, {}});
  } else if (peer == program_.client) {
    is_client_gone_ = true;
    while (!frames_.all().empty()) {
      EndFrame(frames_.all().begin()->first);
    }
  } else {
    endpoint_->SendText(program_.client, Note(Kind::kLink, 0, 0, 0, static_cast<uint32_t>(peer)),
                        Shortened(why));
  }
}

// Threads.

void Engine::Work(int thread) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    Job job;
    if (PickJob(&job)) {
      lock.unlock();
      Outcome outcome = compute_.Run(&job, thread);
      lock.lock();
      Complete(std::move(job), std::move(outcome));
      Settle(&lock);
      lock.lock();
    } else if (!endings_.empty()) {
      Settle(&lock);
      lock.lock();
    } else {
      work_.wait(lock);
    }
  }
}

bool Engine::PickJob(Job* job) {
  for (auto entry = ready_.begin(); entry != ready_.end(); ++entry) {
    const uint64_t bytes = compute_.BytesOf(entry->second);
    if (MakeRoom(bytes, 0, &entry->second.charge)) {
      *job = std::move(entry->second);
      ready_.erase(entry);
      ++running_;
      return true;
    }
    if (!MayWait(bytes, HasOlder(entry->first.first))) {
      const std::string& task = program_.tasks[entry->second.task].name;
      Fail(entry->second.frame, "task '" + task + "': " + Shortage(bytes));
      return false;
    }
  }
  return false;
}

void Engine::Tick() {
  {
    const Turn turn(this);
    for (const int peer : heartbeat_.Beat(endpoint_.get(), NowNs())) {
      endpoint_->Close(peer);
      PeerLost(peer, "it has been silent for " + std::to_string(options_.silence_ms) + " ms");
    }
  }
  endpoint_->Resume();
  work_.notify_all();
}

}  // namespace lcp_tvm::worker

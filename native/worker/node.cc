#include "node.h"

#include <lcp_tvm/processor.h>
#include <lcp_tvm/version.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <new>
#include <utility>

#include "fail_node.h"
#include "json_values.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;
using vta::JsonReader;

namespace {

constexpr int64_t kMaxCores = 1024;
constexpr int64_t kMaxMs = 3'600'000;

std::string Json(const ffi::Any& value) { return std::string(ffi::json::Stringify(value)); }

/*! \brief What JSON text holds, other than an object; it is as bounded as the control allows. */
Array ReadArray(const std::string& json, const std::string& what) {
  const std::string wrapped = "{\"values\": " + json + "}";
  return JsonReader::Parse(wrapped, what, FailNode).List("values");
}

/*! \brief What the system could still give, in bytes. */
uint64_t SystemFreeBytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    uint64_t kib = 0;
    if (key == "MemAvailable:" && file >> kib) {
      return kib * 1024;
    }
  }
  return 0;
}

/*! \brief Turn what the standard library throws into the node's errors. */
template <typename Action>
auto Guarded(Action action) {
  try {
    return action();
  } catch (const ffi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    FailNode("the system has no memory left");
  } catch (const std::exception& error) {
    FailNode(error.what());
  }
}

}  // namespace

NodeOptions ReadNodeOptions(const std::string& text) {
  const JsonReader json = JsonReader::Parse(text, "node options", FailNode);
  NodeOptions options;
  options.engine.cores = static_cast<int>(json.Int("cores", 0, kMaxCores));
  options.engine.host = json.Text("host");
  options.engine.version = kVersion;
  options.engine.silence_ms = json.Int("silence_ms", 1, kMaxMs);
  const int64_t limit = json.Int("memory_bytes", 0, std::numeric_limits<int64_t>::max());
  options.memory_bytes = static_cast<uint64_t>(limit);
  options.files = json.Text("files");
  options.config = json.Has("config") ? json.Text("config") : "none";
  return options;
}

Node::Node(NodeOptions options)
    : options_(std::move(options)),
      functions_(options_.files, std::max(options_.engine.cores, 1)),
      budget_(std::make_shared<MemoryBudget>(options_.memory_bytes)) {}

std::string Node::Hello() const {
  const uint64_t limit = budget_->limit();
  const uint64_t free = limit == 0 ? SystemFreeBytes() : limit - std::min(limit, budget_->held());
  ffi::json::Object facts;
  facts.Set(ffi::String("version"), ffi::String(kVersion));
  facts.Set(ffi::String("protocol"), kProtocol);
  facts.Set(ffi::String("config"), ffi::String(options_.config));
  facts.Set(ffi::String("processor"), ffi::String(ProcessorName()));
  facts.Set(ffi::String("cores"), options_.engine.cores);
  facts.Set(ffi::String("memory_bytes"), static_cast<int64_t>(limit));
  facts.Set(ffi::String("free_bytes"), static_cast<int64_t>(free));
  facts.Set(ffi::String("pid"), static_cast<int64_t>(getpid()));
  return Json(facts);
}

std::string Node::Has(const std::string& json) const {
  Array held;
  for (const ffi::Any& value : ReadArray(json, "has")) {
    const std::string sha256 = TextOf(value, "a file's hash");
    if (functions_.Has(sha256)) {
      held.push_back(ffi::String(sha256));
    }
  }
  return Json(held);
}

void Node::Store(const std::string& sha256, uint64_t offset, uint64_t size,
                 const ffi::Bytes& bytes) {
  Guarded([&] { functions_.Store(sha256, offset, size, bytes.data(), bytes.size()); });
}

void Node::Load(const std::string& text) {
  const JsonReader json = JsonReader::Parse(text, "module", FailNode);
  const std::string name = json.Text("name");
  std::vector<std::string> names;
  for (const ffi::Any& function : json.List("functions")) {
    names.push_back(TextOf(function, "a function's name"));
  }
  const std::string vta = json.IsNull("vta") ? "" : json.Text("vta");
  const std::lock_guard<std::mutex> lock(mutex_);
  Guarded([&] { functions_.Load(name, names, json.Text("so"), vta); });
  weights_ = Charge();
  const uint64_t bytes = functions_.WeightBytes();
  if (!budget_->Take(bytes)) {
    functions_.Unload();
    FailNode("module '" + name + "': the constants of all modules have " + std::to_string(bytes) +
             " bytes; the limit is " + std::to_string(budget_->limit()));
  }
  weights_ = Charge(budget_, bytes);
}

void Node::Bind(const std::string& name, ffi::Function function) {
  functions_.Bind(name, std::move(function));
}

std::string Node::Prepare(const std::string& json) {
  Program program = ReadProgram(json);
  CheckFits(program);
  std::shared_ptr<Engine> before;
  const std::lock_guard<std::mutex> lock(mutex_);
  before.swap(engine_);
  before.reset();  // its memory goes before the new one begins
  Guarded([&] {
    engine_ = std::make_shared<Engine>(std::move(program), options_.engine, &functions_, budget_);
  });
  ffi::json::Object answer;
  answer.Set(ffi::String("port"), static_cast<int64_t>(engine_->port()));
  return Json(answer);
}

void Node::CheckFits(const Program& program) const {
  const uint64_t limit = budget_->limit();
  const uint64_t weights = functions_.WeightBytes();
  for (const FunctionFacts& function : program.functions) {
    if (limit != 0 && functions_.Knows(function.name) &&
        (weights > limit || function.peak_bytes > limit - weights)) {
      FailNode("function '" + function.name + "' takes " + std::to_string(function.peak_bytes) +
               " bytes beside " + std::to_string(weights) + " of constants; the limit is " +
               std::to_string(limit));
    }
  }
}

void Node::Connect(const std::string& json, int timeout_ms) {
  const std::shared_ptr<Engine> engine = Running();
  const auto last = static_cast<int64_t>(engine->program().nodes.size()) - 1;
  std::vector<PeerAddress> peers;
  for (const ffi::Any& value : ReadArray(json, "peers")) {
    const Array triple = ArrayOf(value, 3, "a peer");
    const auto node = static_cast<int>(IntOf(triple[0], 0, last, "a peer's number"));
    const auto port = static_cast<uint16_t>(IntOf(triple[2], 1, 65'535, "a peer's port"));
    peers.push_back({node, TextOf(triple[1], "a peer's host"), port});
  }
  Guarded([&] { engine->Connect(peers, timeout_ms); });
}

void Node::AddRoute(const std::string& json) { Running()->AddRoute(json); }

void Node::Keep(const std::string& name, const std::vector<const DLTensor*>& inputs) {
  Guarded([&] { Running()->Keep(name, inputs); });
}

void Node::Begin(uint64_t frame, uint32_t route, const std::string& name,
                 const std::vector<ffi::Tensor>& inputs) {
  Running()->Begin(frame, route, name, inputs);
}

void Node::End(uint64_t frame) { Running()->End(frame); }

ffi::Array<ffi::Any> Node::Next(int timeout_ms) {
  const std::shared_ptr<Engine> engine = Running();
  std::optional<Event> event = engine->Next(timeout_ms);
  ffi::Array<ffi::Any> values;
  if (!event) {
    return values;
  }
  std::vector<ffi::Tensor> outputs;
  if (event->outputs != nullptr) {
    try {
      outputs = event->outputs->Arguments(engine->program());
    } catch (const std::bad_alloc&) {
      event->kind = "failed";
      event->node = engine->program().client;
      event->text = "the system has no memory for the outputs";
    }
  }
  values.push_back(ffi::String(event->kind));
  values.push_back(event->frame);
  values.push_back(event->node);
  values.push_back(ffi::String(event->text));
  for (ffi::Tensor& output : outputs) {
    values.push_back(std::move(output));
  }
  return values;
}

std::string Node::Silent() {
  Array silent;
  for (const int node : Running()->Silent()) {
    silent.push_back(node);
  }
  return Json(silent);
}

std::string Node::Stats() { return Running()->TakeStats(); }

void Node::Unload() {
  std::shared_ptr<Engine> engine;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    engine.swap(engine_);
  }
  engine.reset();
  functions_.Unload();
  const std::lock_guard<std::mutex> lock(mutex_);
  weights_ = Charge();
}

std::shared_ptr<Engine> Node::Running() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (engine_ == nullptr) {
    FailNode("the node has no program; prepare it first");
  }
  return engine_;
}

}  // namespace lcp_tvm::worker

// Nodes of one process that run frames together, while frames are given up, counters are read and
// nodes come and go. Under ThreadSanitizer this tries the locks of the engine and its parts.
#include "worker/engine.h"

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace lcp_tvm::worker {
namespace {

namespace ffi = tvm::ffi;

// A map of rows goes twice through sums of three neighbouring rows, in tiles of kRows rows.
constexpr int kTiles = 6;
constexpr int kRows = 4;
constexpr int kColumns = 16;
constexpr int kHeight = kTiles * kRows;
constexpr int kWaitMs = 60'000;

constexpr int kGateway = 2;
constexpr int kClient = 3;
constexpr std::array<int, 4> kCores = {2, 2, 0, 0};

const TensorFacts kMap{{kDLInt, 32, 1}, 4, {2, {0, 0}, {kHeight, kColumns}}};
enum : uint32_t { kInput, kMiddle, kOutput };

Box Rows(int begin, int end) {
  Box box = kMap.box;
  box.begin[0] = static_cast<uint32_t>(std::max(begin, 0));
  box.end[0] = static_cast<uint32_t>(std::min(end, kHeight));
  return box;
}

Box RowsOf(int tile, int margin) {
  return Rows(tile * kRows - margin, (tile + 1) * kRows + margin);
}

/*! \brief Rows of a map; those outside it are zeros. */
using Values = std::vector<int32_t>;

/*! \brief The rows of `to`, each the sum of the rows of `from` beside it. */
Values Sum(const Values& values, const Box& from, const Box& to) {
  Values sums;
  for (auto row = to.begin[0]; row < to.end[0]; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      int32_t sum = 1;
      for (auto near = std::max(row, 1U) - 1; near < std::min(row + 2, uint32_t{kHeight}); ++near) {
        sum += values[(near - from.begin[0]) * kColumns + static_cast<uint32_t>(column)];
      }
      sums.push_back(sum);
    }
  }
  return sums;
}

Values ValuesOf(const ffi::Tensor& tensor) {
  const auto* data = static_cast<const int32_t*>(tensor.data_ptr());
  return {data, data + tensor.numel()};
}

ffi::Tensor TensorOf(const Values& values, const Box& box) {
  ffi::Tensor tensor = NewTensor(kMap, box);
  std::copy(values.begin(), values.end(), static_cast<int32_t*>(tensor.data_ptr()));
  return tensor;
}

/*! \brief The task that makes a tile of the middle map; the one after it makes the output's. */
int First(int tile) { return 2 * tile; }

Read ReadFrame(const Box& box) { return {kInput, box, {{kFrame, 0, box}}}; }

/*! \brief Rows of the middle map, of the tiles that make them. */
Read ReadMiddle(int tile) {
  Read read{kMiddle, RowsOf(tile, 1), {}};
  for (int near = std::max(tile - 1, 0); near <= std::min(tile + 1, kTiles - 1); ++near) {
    Box piece = read.box;
    piece.begin[0] = std::max(piece.begin[0], RowsOf(near, 0).begin[0]);
    piece.end[0] = std::min(piece.end[0], RowsOf(near, 0).end[0]);
    read.pieces.push_back({First(near), 0, piece});
  }
  return read;
}

Program ProgramFor(int node) {
  Program program;
  program.run = 1;
  program.node = node;
  program.nodes = {"edge-0", "edge-1", "gateway", "client"};
  program.gateway = kGateway;
  program.client = kClient;
  program.tensors = {kMap, kMap, kMap};
  program.inputs = {kInput};
  Read output{kOutput, kMap.box, {}};
  for (int tile = 0; tile < kTiles; ++tile) {
    const std::string number = std::to_string(tile);
    const auto function = static_cast<uint32_t>(program.functions.size());
    for (const char* name : {"first", "second", "both"}) {
      program.functions.push_back({name + number, 4096});
    }
    program.tasks.push_back({"first" + number,
                             {function, {ReadFrame(RowsOf(tile, 1))}},
                             std::nullopt,
                             -1,
                             {{kMiddle, RowsOf(tile, 0)}}});
    program.tasks.push_back({"second" + number,
                             {function + 1, {}},
                             Way{function + 2, {ReadFrame(RowsOf(tile, 2))}},
                             -1,
                             {{kOutput, RowsOf(tile, 0)}}});
    output.pieces.push_back({First(tile) + 1, 0, RowsOf(tile, 0)});
  }
  for (int tile = 0; tile < kTiles; ++tile) {
    program.tasks[static_cast<size_t>(First(tile)) + 1].own.reads = {ReadMiddle(tile)};
  }
  program.collect = {output};
  program.pace_ms.assign(program.functions.size(), 0.5);
  program.poll_ms = 1;
  program.patience_ms = 2;
  program.trace = true;
  return program;
}

void Bind(Functions* functions) {
  for (int tile = 0; tile < kTiles; ++tile) {
    const auto bind = [&](const char* name, auto compute) {
      functions->Bind(name + std::to_string(tile),
                      ffi::Function::FromTyped(
                          [compute](const ffi::Tensor& rows) { return compute(ValuesOf(rows)); }));
    };
    const Box box = RowsOf(tile, 0), near = RowsOf(tile, 1), wide = RowsOf(tile, 2);
    bind("first", [=](const Values& rows) { return TensorOf(Sum(rows, near, box), box); });
    bind("second", [=](const Values& rows) { return TensorOf(Sum(rows, near, box), box); });
    bind("both",
         [=](const Values& rows) { return TensorOf(Sum(Sum(rows, wide, near), near, box), box); });
  }
}

Values Picture(int64_t frame) {
  Values values(static_cast<size_t>(kHeight) * kColumns);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<int32_t>((static_cast<size_t>(frame) * 31 + i * 7) % 1000);
  }
  return values;
}

Values Answer(int64_t frame) {
  return Sum(Sum(Picture(frame), kMap.box, kMap.box), kMap.box, kMap.box);
}

std::string RouteText(uint32_t id, int source, const std::string& policy) {
  std::string places;
  for (int task = 0; task < 2 * kTiles; ++task) {
    places += (task == 0 ? "" : ", ") + std::to_string(policy == "stealing" ? -1 : task / 2 % 2);
  }
  return "{\"id\": " + std::to_string(id) + ", \"source\": " + std::to_string(source) +
         ", \"places\": [" + places + "], \"devices\": [0, 1], \"policy\": \"" + policy + "\"}";
}

/*! \brief Two devices, a gateway and a client. */
class Cluster {
 public:
  explicit Cluster(uint64_t memory_bytes = 0) : memory_bytes_(memory_bytes) {
    for (int node = 0; node < static_cast<int>(kCores.size()); ++node) {
      Bind(&functions_.emplace_back("", 2));
    }
    for (int node = 0; node < static_cast<int>(kCores.size()); ++node) {
      Start(node);
    }
    for (int node = 0; node < static_cast<int>(kCores.size()); ++node) {
      AddRoutes(node);
    }
  }

  Engine& operator[](int node) { return *engines_.at(static_cast<size_t>(node)); }
  Engine& client() { return (*this)[kClient]; }

  /*! \brief Start a node and connect it with those that there are. */
  void Start(int node) {
    const auto index = static_cast<size_t>(node);
    EngineOptions options;
    options.cores = kCores.at(index);
    options.host = "127.0.0.1";
    options.version = "test";
    options.silence_ms = 20'000;
    engines_.at(index) =
        std::make_unique<Engine>(ProgramFor(node), options, &functions_[index],
                                 std::make_shared<MemoryBudget>(options.cores * memory_bytes_));
    for (int peer = 0; peer < static_cast<int>(kCores.size()); ++peer) {
      if (peer != node && engines_[static_cast<size_t>(peer)] != nullptr) {
        const int low = std::min(node, peer), high = std::max(node, peer);
        (*this)[high].Connect({{low, "127.0.0.1", (*this)[low].port()}}, kWaitMs);
      }
    }
  }

  /*! \brief Tell a node all routes, once it is connected: it may look for work at once. */
  void AddRoutes(int node) {
    uint32_t id = 0;
    for (const char* policy : {"static", "sharing", "stealing"}) {
      for (int source = 0; source < kGateway; ++source) {
        (*this)[node].AddRoute(RouteText(id++, source, policy));
      }
    }
  }

  void Stop(int node) { engines_.at(static_cast<size_t>(node)).reset(); }

  void Begin(int64_t frame, uint32_t route) {
    client().Begin(static_cast<uint64_t>(frame), route, "", {TensorOf(Picture(frame), kMap.box)});
  }

  /*! \brief What happens next at the client; the outputs of a frame that is done are right. */
  Event Next() {
    std::optional<Event> next = client().Next(kWaitMs);
    CHECK(next.has_value(), "nothing has happened");
    Event event = std::move(next).value_or(Event());
    if (event.outputs != nullptr) {
      const std::vector<ffi::Tensor> outputs = event.outputs->Arguments(client().program());
      CHECK(ValuesOf(outputs.at(0)) == Answer(event.frame));
    }
    return event;
  }

 private:
  const uint64_t memory_bytes_;
  std::deque<Functions> functions_;
  std::array<std::unique_ptr<Engine>, kCores.size()> engines_;
};

/*! \brief The routes' numbers, by policy and source. */
constexpr uint32_t kRoutes = 6;

void TestFramesOfAllPoliciesAtOnce(uint64_t memory_bytes) {
  Cluster cluster(memory_bytes);
  constexpr int64_t kFrames = 60;
  constexpr int64_t kAtOnce = 6;
  int64_t begun = 0;
  for (int64_t done = 0; done < kFrames; ++done) {
    for (; begun < std::min(done + kAtOnce, kFrames); ++begun) {
      cluster.Begin(begun, static_cast<uint32_t>(begun) % kRoutes);
    }
    const Event event = cluster.Next();
    CHECK(std::string(event.kind) == "done", event.text);
  }
}

void TestFramesAtOnce() { TestFramesOfAllPoliciesAtOnce(0); }

/*! \brief Frames wait for memory that others give back. */
void TestFramesThatWaitForMemory() { TestFramesOfAllPoliciesAtOnce(12'000); }

void TestFramesAreGivenUpWhileCountersAreRead() {
  Cluster cluster;
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over) {
      for (int node = 0; node <= kClient; ++node) {
        CHECK(!cluster[node].TakeStats().empty());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  constexpr int64_t kFrames = 60;
  std::set<int64_t> left;
  for (int64_t frame = 0; frame < kFrames; ++frame) {
    cluster.Begin(frame, static_cast<uint32_t>(frame) % kRoutes);
    left.insert(frame);
    if (frame % 3 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * (frame % 7)));
      cluster.client().End(static_cast<uint64_t>(frame));
      left.erase(frame);
    }
    while (left.size() > 4) {
      left.erase(cluster.Next().frame);
    }
  }
  while (!left.empty()) {
    left.erase(cluster.Next().frame);
  }
  over = true;
  reader.join();
}

void TestADeviceGoesAndComesBack() {
  Cluster cluster;
  int64_t frame = 0;
  for (int round = 0; round < 4; ++round) {
    for (uint32_t route = 0; route < kRoutes; ++route) {
      cluster.Begin(frame++, route);
    }
    cluster.Next();
    cluster.Stop(1);
    for (Event event = cluster.Next(); std::string(event.kind) != "lost"; event = cluster.Next()) {
    }
    for (int64_t old = 0; old < frame; ++old) {
      cluster.client().End(static_cast<uint64_t>(old));
    }
    cluster.Start(1);
    cluster.AddRoutes(1);
    cluster.Begin(frame, static_cast<uint32_t>(round));
    Event event = cluster.Next();
    while (event.frame != frame) {
      event = cluster.Next();
    }
    CHECK(std::string(event.kind) == "done", event.text);
    ++frame;
  }
}

void TestAllEndsAmidFrames() {
  for (int round = 0; round < 3; ++round) {
    Cluster cluster;
    for (int64_t frame = 0; frame < 12; ++frame) {
      cluster.Begin(frame, static_cast<uint32_t>(frame) % kRoutes);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(round));
  }
}

}  // namespace
}  // namespace lcp_tvm::worker

/*! \brief ThreadSanitizer sees no fences, by which tvm-ffi orders the end of an object. */
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __tsan_default_suppressions() { return "race:tvm::ffi::Object::DecRef"; }

int main(int argc, char** argv) {
  using namespace lcp_tvm::worker;
  return lcp_tvm::tests::Main(
      {{"frames at once", TestFramesAtOnce},
       {"frames that wait for memory", TestFramesThatWaitForMemory},
       {"frames are given up while counters are read", TestFramesAreGivenUpWhileCountersAreRead},
       {"a device goes and comes back", TestADeviceGoesAndComesBack},
       {"all ends amid frames", TestAllEndsAmidFrames}},
      argc, argv);
}

#include "program.h"

#include <algorithm>
#include <limits>
#include <map>

#include "json_values.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;
using vta::JsonReader;

namespace {

constexpr int64_t kMaxNodes = 10'000;
constexpr int64_t kMaxDim = std::numeric_limits<uint32_t>::max();
constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();
constexpr double kMaxMs = 1e9;

struct ItemType {
  DLDataType dtype;
  uint32_t bytes;
};

/*! \brief The types that tensors may have, by name. */
const std::map<std::string, ItemType>& Types() {
  static const std::map<std::string, ItemType> types = {
      {"float32", {{kDLFloat, 32, 1}, 4}}, {"float16", {{kDLFloat, 16, 1}, 2}},
      {"int64", {{kDLInt, 64, 1}, 8}},     {"int32", {{kDLInt, 32, 1}, 4}},
      {"int8", {{kDLInt, 8, 1}, 1}},       {"uint8", {{kDLUInt, 8, 1}, 1}},
      {"bool", {{kDLBool, 8, 1}, 1}},
  };
  return types;
}

TensorFacts ReadTensor(const ffi::Any& value, const std::string& what) {
  const Array pair = ArrayOf(value, 2, what);
  const auto type = Types().find(TextOf(pair[0], what + "'s type"));
  if (type == Types().end()) {
    FailNode(what + " has a type that is not known");
  }
  const Array shape = ArrayOf(pair[1], what + "'s shape");
  if (shape.size() > transport::kMaxDims) {
    FailNode(what + " has " + std::to_string(shape.size()) + " dimensions; at most " +
             std::to_string(transport::kMaxDims));
  }
  TensorFacts facts{type->second.dtype, type->second.bytes, {}};
  uint64_t bytes = facts.item_bytes;
  for (const ffi::Any& size : shape) {
    const auto extent = static_cast<uint32_t>(IntOf(size, 1, kMaxDim, what + "'s size"));
    if (bytes > transport::kMaxPayload / extent) {
      FailNode(what + " has more than " + std::to_string(transport::kMaxPayload) + " bytes");
    }
    bytes *= extent;
    facts.box.end[facts.box.ndim++] = extent;
  }
  return facts;
}

/*! \brief A box that lies in another and is not empty. */
Box ReadBox(const ffi::Any& value, const Box& inside, const std::string& what) {
  const Array sides = ArrayOf(value, size_t{2} * inside.ndim, what);
  Box box;
  box.ndim = inside.ndim;
  for (size_t d = 0; d < inside.ndim; ++d) {
    const auto side = static_cast<int64_t>(2 * d);
    box.begin[d] =
        static_cast<uint32_t>(IntOf(sides[side], inside.begin[d], inside.end[d] - 1, what));
    box.end[d] =
        static_cast<uint32_t>(IntOf(sides[side + 1], box.begin[d] + 1, inside.end[d], what));
  }
  return box;
}

/*! \brief Reads tasks one after the other: each may read what those before it write. */
class ProgramReader {
 public:
  explicit ProgramReader(Program* program) : program_(*program) {}

  Write ReadWrite(const ffi::Any& value, const std::string& what) const {
    const Array pair = ArrayOf(value, 2, what);
    const uint32_t tensor = Tensor(pair[0], what);
    return {tensor, ReadBox(pair[1], program_.tensors[tensor].box, what)};
  }

  std::vector<Read> Reads(const Array& values, const std::string& what) const {
    std::vector<Read> reads;
    for (const ffi::Any& value : values) {
      const Array triple = ArrayOf(value, 3, what);
      Read& read = reads.emplace_back();
      read.tensor = Tensor(triple[0], what);
      read.box = ReadBox(triple[1], program_.tensors[read.tensor].box, what);
      uint64_t covered = 0;
      for (const ffi::Any& piece : ArrayOf(triple[2], what)) {
        read.pieces.push_back(ReadPiece(piece, read, what));
        covered += read.pieces.back().box.Size();
      }
      if (covered != read.box.Size()) {
        FailNode(what + ": the pieces of " + Text(read.box) + " have " + std::to_string(covered) +
                 " elements, not " + std::to_string(read.box.Size()));
      }
    }
    return reads;
  }

  Way ReadWay(const JsonReader& json, const std::string& what) const {
    const auto last = static_cast<int64_t>(program_.functions.size()) - 1;
    return {static_cast<uint32_t>(json.Int("function", 0, last)), Reads(json.List("reads"), what)};
  }

 private:
  uint32_t Tensor(const ffi::Any& value, const std::string& what) const {
    const auto last = static_cast<int64_t>(program_.tensors.size()) - 1;
    return static_cast<uint32_t>(IntOf(value, 0, last, what + "'s tensor"));
  }

  Piece ReadPiece(const ffi::Any& value, const Read& read, const std::string& what) const {
    const Array pair = ArrayOf(value, 2, what);
    Piece piece;
    const auto last = static_cast<int64_t>(program_.tasks.size()) - 1;
    piece.producer = static_cast<int>(IntOf(pair[0], kFrame, last, what + "'s producer"));
    piece.box = ReadBox(pair[1], read.box, what);
    piece.write = FindWrite(piece, read.tensor, what);
    return piece;
  }

  uint32_t FindWrite(const Piece& piece, uint32_t tensor, const std::string& what) const {
    if (piece.producer == kFrame) {
      const auto& inputs = program_.inputs;
      const auto found = std::find(inputs.begin(), inputs.end(), tensor);
      if (found != inputs.end()) {
        return static_cast<uint32_t>(found - inputs.begin());
      }
    } else {
      const std::vector<Write>& writes = program_.tasks[piece.producer].writes;
      for (size_t i = 0; i < writes.size(); ++i) {
        if (writes[i].tensor == tensor && Contains(writes[i].box, piece.box)) {
          return static_cast<uint32_t>(i);
        }
      }
    }
    FailNode(what + ": producer " + std::to_string(piece.producer) + " does not write " +
             Text(piece.box) + " of tensor " + std::to_string(tensor));
  }

  Program& program_;
};

Task ReadTask(const JsonReader& json, const ProgramReader& reader) {
  Task task;
  task.name = json.Text("name");
  const std::string what = "task '" + task.name + "'";
  task.own = reader.ReadWay(json, what);
  task.needs = static_cast<int>(json.Int("needs", -1, static_cast<int64_t>(task.own.reads.size())));
  for (const ffi::Any& value : json.List("writes")) {
    task.writes.push_back(reader.ReadWrite(value, what));
  }
  if (!json.IsNull("fallback")) {
    task.fallback = reader.ReadWay(json.Sub("fallback"), what + "'s fallback");
  }
  if (task.needs == 0 || (task.needs > 0 && task.fallback)) {
    FailNode(what + " needs " + std::to_string(task.needs) +
             " of its reads; allowed are 1 or more, without a fallback");
  }
  return task;
}

void ReadNodes(const JsonReader& json, Program* program) {
  for (const ffi::Any& name : json.List("nodes")) {
    program->nodes.push_back(TextOf(name, "a node's name"));
  }
  const auto count = static_cast<int64_t>(program->nodes.size());
  if (count > kMaxNodes) {
    FailNode("the program has " + std::to_string(count) + " nodes; at most " +
             std::to_string(kMaxNodes));
  }
  program->node = static_cast<int>(json.Int("node", 0, count - 1));
  program->gateway = static_cast<int>(json.Int("gateway", 0, count - 1));
  program->client = static_cast<int>(json.Int("client", 0, count - 1));
}

void ReadPace(const JsonReader& json, Program* program) {
  const Array rows = json.List("pace_ms");
  if (program->node >= static_cast<int>(rows.size())) {
    return;
  }
  const Array row = ArrayOf(rows[program->node], program->functions.size(), "pace_ms");
  for (const ffi::Any& value : row) {
    const auto ms = value.try_cast<double>();
    if (!ms || !(*ms >= 0 && *ms <= kMaxMs)) {
      FailNode("a pace is no number of 0 to 1e9 ms");
    }
    program->pace_ms.push_back(*ms);
  }
}

uint64_t ReadRun(const std::string& text) {
  const bool is_hex = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (text.size() != 16 || !is_hex) {
    FailNode("the run is '" + text + "', not 16 hex digits");
  }
  return std::stoull(text, nullptr, 16);
}

}  // namespace

Program ReadProgram(const std::string& text) {
  const JsonReader json = JsonReader::Parse(text, "program", FailNode);
  json.Int("format", 1, 1);
  Program program;
  program.run = ReadRun(json.Text("run"));
  ReadNodes(json, &program);
  for (const ffi::Any& value : json.List("tensors")) {
    const std::string what = "tensor " + std::to_string(program.tensors.size());
    program.tensors.push_back(ReadTensor(value, what));
  }
  const auto tensors = static_cast<int64_t>(program.tensors.size());
  for (const int64_t input : json.Ints("inputs", 0, tensors - 1)) {
    program.inputs.push_back(static_cast<uint32_t>(input));
  }
  const std::vector<int64_t> outputs = json.Ints("outputs", 0, tensors - 1);
  if (program.inputs.empty() || outputs.empty()) {
    FailNode("the program has no inputs, or no outputs");
  }
  for (const JsonReader& function : json.Items("functions")) {
    const auto peak = static_cast<uint64_t>(function.Int("peak_bytes", 0, kMaxCount));
    program.functions.push_back({function.Text("name"), peak});
  }
  ReadPace(json, &program);
  const ProgramReader reader(&program);
  for (const JsonReader& task : json.Items("tasks")) {
    program.tasks.push_back(ReadTask(task, reader));
  }
  program.collect = reader.Reads(json.List("collect"), "collect");
  if (program.collect.size() != outputs.size()) {
    FailNode("collect has " + std::to_string(program.collect.size()) + " reads for " +
             std::to_string(outputs.size()) + " outputs");
  }
  program.poll_ms = json.Int("poll_ms", 1, 3'600'000);
  program.patience_ms = json.Int("patience_ms", 0, 1'000'000'000);
  program.trace = json.Flag("trace");
  return program;
}

}  // namespace lcp_tvm::worker

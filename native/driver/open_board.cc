// lcp_tvm.board.Open, Use and Probe: a board for this process's programs, and what it has.
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/string.h>

#include <memory>
#include <mutex>
#include <string>

#include "board_device.h"
#include "probe.h"
#include "src/boundary.h"
#include "src/fail.h"
#include "src/json_reader.h"
#include "src/process_board.h"

namespace lcp_tvm::driver {

namespace ffi = tvm::ffi;

namespace {

constexpr int64_t kMaxDeadline = int64_t{3600} * 1000;

/*! \brief Options as {"root": "", "memory": "auto", "deadline_ms": 10000}; all may be missing. */
BoardOptions ReadOptions(const std::string& json) {
  const vta::JsonReader reader =
      vta::JsonReader::Parse(json, "options of a board", vta::FailConfig);
  BoardOptions options;
  if (reader.Has("root")) {
    options.root = reader.Text("root");
  }
  if (reader.Has("memory")) {
    options.memory = reader.Text("memory");
  }
  options.deadline = std::chrono::milliseconds(
      reader.IntOr("deadline_ms", options.deadline.count(), 1, kMaxDeadline));
  return options;
}

/*! \brief Open the board whose config SetBoard has declared. */
std::shared_ptr<Board> OpenBoard(const BoardOptions& options, const std::string& config) {
  if (config.empty()) {
    vta::FailConfig("a board needs its VTA config first");
  }
  return std::make_shared<Board>(options, vta::ParseConfig(config).target);
}

/*! \brief From now on programs run on the board; the name of its memory. */
ffi::String Open(const ffi::String& options_json) {
  vta::ProcessBoard& process = vta::ProcessBoard::Instance();
  const std::lock_guard<std::mutex> lock(process.mutex);
  const auto board = OpenBoard(ReadOptions(std::string(options_json)), process.config);
  process.make_device = [board](const vta::Config& wanted, uint64_t size) {
    return MakeBoardDevice(wanted, size, board);
  };
  return board->memory->name();
}

/*! \brief The same, but the first program opens it. */
void Use(const ffi::String& options_json) {
  vta::ProcessBoard& process = vta::ProcessBoard::Instance();
  const std::lock_guard<std::mutex> lock(process.mutex);
  const BoardOptions options = ReadOptions(std::string(options_json));
  process.make_device = [options, config = process.config, board = std::shared_ptr<Board>()](
                            const vta::Config& wanted, uint64_t size) mutable {
    if (board == nullptr) {
      board = OpenBoard(options, config);
    }
    return MakeBoardDevice(wanted, size, board);
  };
}

/*! \brief What the board has and lacks, as a list of [name, value, cure]. */
ffi::String ProbeJson(const ffi::String& options_json, const ffi::String& config_json,
                      const ffi::String& self_test) {
  ffi::json::Array facts;
  for (const Fact& fact : Probe(ReadOptions(std::string(options_json)), std::string(config_json),
                                std::string(self_test))) {
    facts.push_back(
        ffi::json::Array{ffi::String(fact.name), ffi::String(fact.value), ffi::String(fact.cure)});
  }
  return ffi::json::Stringify(facts);
}

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  const auto set = [](const char* name, const ffi::Function& function) {
    ffi::Function::SetGlobal(name, AcrossLibraries(function));
  };
  set("lcp_tvm.board.Open", ffi::Function::FromTyped(Open));
  set("lcp_tvm.board.Use", ffi::Function::FromTyped(Use));
  set("lcp_tvm.board.Probe", ffi::Function::FromTyped(ProbeJson));
}

}  // namespace lcp_tvm::driver

// lcp_tvm.board.Open: from now on this process's programs run on a board's accelerator.
#include <tvm/ffi/function.h>
#include <tvm/ffi/string.h>

#include <memory>
#include <mutex>
#include <string>

#include "board_device.h"
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

/*! \brief Open the board whose config SetBoard has declared; the name of its memory. */
ffi::String Open(const ffi::String& options_json) {
  vta::ProcessBoard& process = vta::ProcessBoard::Instance();
  const std::lock_guard<std::mutex> lock(process.mutex);
  if (process.config.empty()) {
    vta::FailConfig("a board needs its VTA config first");
  }
  const vta::Config config = vta::ParseConfig(process.config);
  const auto board = std::make_shared<Board>(ReadOptions(std::string(options_json)), config.target);
  process.make_device = [board](const vta::Config& wanted, uint64_t size) {
    return MakeBoardDevice(wanted, size, board);
  };
  return board->memory->name();
}

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  ffi::Function::SetGlobal("lcp_tvm.board.Open", AcrossLibraries(ffi::Function::FromTyped(Open)));
}

}  // namespace lcp_tvm::driver

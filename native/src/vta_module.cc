// The runtime module of kind "vta".
//
// A module owns the bytes of its file, hands them out unchanged as SaveToBytes, and never changes
// after it is made. A process has one accelerator: its programs run one after the other. Functions
// keep their module alive.
#include <tvm/ffi/cast.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/reflection/registry.h>

#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "boundary.h"
#include "fail.h"
#include "process_board.h"
#include "program_file.h"
#include "program_runner.h"

namespace lcp_tvm::vta {

namespace ffi = tvm::ffi;

namespace {

constexpr const char* kKind = "vta";
constexpr std::streamoff kMaxFile = std::streamoff{1} << 31;

void SetBoard(const ffi::String& config_json) {
  const Config config = ParseConfig(std::string(config_json));
  ProcessBoard& board = ProcessBoard::Instance();
  const std::lock_guard<std::mutex> lock(board.mutex);
  board.config = config.text;
}

void CheckBoard(const Config& config) {
  ProcessBoard& board = ProcessBoard::Instance();
  const std::lock_guard<std::mutex> lock(board.mutex);
  if (board.config.empty()) {
    return;
  }
  const std::string difference = FirstDifference(config.text, board.config);
  if (!difference.empty()) {
    FailConfig("the program is for another board: its " + difference +
               "; compile the network for this board's config");
  }
}

class VtaModuleObj final : public ffi::ModuleObj {
 public:
  explicit VtaModuleObj(std::string bytes)
      : bytes_(std::move(bytes)), file_(ParseProgramFile(bytes_)) {
    CheckBoard(file_.config);
    for (const Program& program : file_.programs) {
      runners_.push_back(std::make_unique<ProgramRunner>(file_.config, program));
    }
  }

  const char* kind() const final { return kKind; }

  int GetPropertyMask() const final {
    return ffi::Module::kBinarySerializable | ffi::Module::kRunnable;
  }

  ffi::Bytes SaveToBytes() const final { return ffi::Bytes(bytes_); }

  void WriteToFile(const ffi::String& file_name, const ffi::String& format) const final {
    if (format != kKind) {
      FailProgram("the format " + std::string(format) + " is not known; it can only be " + kKind);
    }
    std::ofstream file(std::string(file_name), std::ios::binary);
    file.write(bytes_.data(), static_cast<std::streamsize>(bytes_.size()));
    if (!file.flush()) {
      FailProgram("cannot write " + std::string(file_name) + "; is the disk full?");
    }
  }

  ffi::Optional<ffi::Function> GetFunction(const ffi::String& name) final {
    const ffi::ObjectPtr<ffi::Object> self = ffi::GetObjectPtr<ffi::Object>(this);
    if (name == "lcp_tvm.header") {
      return ffi::Function::FromTyped([self, this]() { return ffi::String(file_.header); });
    }
    if (name == "lcp_tvm.stats") {
      return ffi::Function::FromTyped([self, this](const ffi::String& symbol) {
        return ffi::String(Find(symbol)->StatsText());
      });
    }
    if (name == "lcp_tvm.dram") {
      return ffi::Function::FromTyped(
          [self, this](const ffi::String& symbol) { return ffi::Bytes(Find(symbol)->Dram()); });
    }
    for (const std::unique_ptr<ProgramRunner>& runner : runners_) {
      if (name == runner->symbol()) {
        return Callable(self, runner.get());
      }
    }
    return std::nullopt;
  }

 private:
  static ffi::Function Callable(const ffi::ObjectPtr<ffi::Object>& self, ProgramRunner* runner) {
    const auto run = [self, runner](ffi::PackedArgs args, ffi::Any*) {
      std::vector<ffi::TensorView> tensors;
      for (int i = 0; i < args.size(); ++i) {
        // A Tensor, or the DLTensor* that RPC passes.
        const ffi::Optional<ffi::TensorView> tensor = args[i].try_cast<ffi::TensorView>();
        if (!tensor.has_value()) {
          FailProgram("program '" + runner->symbol() + "': argument " + std::to_string(i) +
                      " is a " + args[i].GetTypeKey() + ", not a tensor");
        }
        tensors.push_back(*tensor);
      }
      const std::lock_guard<std::mutex> lock(ProcessBoard::Instance().accelerator);
      runner->Run(tensors);
    };
    return AcrossLibraries(ffi::Function::FromPacked(run));
  }

  ProgramRunner* Find(const ffi::String& symbol) const {
    std::string known;
    for (const std::unique_ptr<ProgramRunner>& runner : runners_) {
      if (symbol == runner->symbol()) {
        return runner.get();
      }
      known += (known.empty() ? "" : ", ") + runner->symbol();
    }
    FailProgram("there is no program '" + std::string(symbol) + "', there are: " + known);
  }

  const std::string bytes_;
  const ParsedFile file_;  // points into bytes_
  std::vector<std::unique_ptr<ProgramRunner>> runners_;
};

ffi::Module Load(std::string bytes) {
  return ffi::Module(ffi::make_object<VtaModuleObj>(std::move(bytes)));
}

ffi::Module LoadFromBytes(const ffi::Bytes& bytes) {
  return Load(std::string(bytes.data(), bytes.size()));
}

ffi::Module LoadFromFile(const ffi::String& name) {
  std::ifstream stream(std::string(name), std::ios::binary | std::ios::ate);
  const std::streamoff size = stream ? static_cast<std::streamoff>(stream.tellg()) : -1;
  if (size < 0 || size > kMaxFile) {
    FailProgram("VTA program: file '" + std::string(name) + "' " +
                (size < 0 ? "cannot be opened" : "is larger than 2 GiB"));
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  stream.seekg(0);
  stream.read(bytes.data(), size);
  if (!stream) {
    FailProgram("VTA program: file '" + std::string(name) + "' cannot be read");
  }
  return Load(std::move(bytes));
}

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  // Module::LoadFromFile passes the format too.
  const auto load_from_file = [](ffi::PackedArgs args, ffi::Any* result) {
    if (args.size() == 0) {
      FailProgram("VTA program: the loader needs a file name");
    }
    *result = LoadFromFile(args[0].cast<ffi::String>());
  };
  const auto set = [](const char* name, const ffi::Function& function) {
    ffi::Function::SetGlobal(name, AcrossLibraries(function));
  };
  set("ffi.Module.load_from_bytes.vta", ffi::Function::FromTyped(LoadFromBytes));
  set("ffi.Module.load_from_file.vta", ffi::Function::FromPacked(load_from_file));
  set("lcp_tvm.vta.SetBoard", ffi::Function::FromTyped(SetBoard));
}

}  // namespace lcp_tvm::vta

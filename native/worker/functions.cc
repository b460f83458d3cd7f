#include "functions.h"

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/extra/module.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "code_library.h"
#include "file_store.h"
#include "src/boundary.h"
#include "team.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

namespace {

/*! \brief TVM's number for memory that goes back to the system when a tensor dies. */
constexpr int kNaiveAllocator = 1;

/*! \brief A function as the threads of a node call it: by thread, or one for all of them. */
struct Callable {
  std::string module;
  std::vector<ffi::Function> by_thread;
};

ffi::Function Entry(const ffi::Module& module, const std::string& name, const std::string& what) {
  const auto function =
      Registered("ffi.ModuleGetFunction")(module, name, false).cast<ffi::Optional<ffi::Function>>();
  if (!function.has_value()) {
    TVM_FFI_THROW(ValueError) << what << ": it has no function '" << name << "'";
  }
  return AcrossLibraries(*function);
}

/*! \brief A machine that runs the code; machines of a module share its constants. */
ffi::Module MakeMachine(const ffi::Module& code, const std::string& what) {
  const auto machine = Entry(code, "vm_load_executable", what)().cast<ffi::Module>();
  Entry(machine, "vm_initialization", what)(static_cast<int>(kDLCPU), 0, kNaiveAllocator);
  return machine;
}

std::vector<ffi::Tensor> TensorsOf(const ffi::Any& result, const std::string& name) {
  if (const auto tensor = result.try_cast<ffi::Tensor>()) {
    return {*tensor};
  }
  const auto tensors = result.try_cast<ffi::Array<ffi::Tensor>>();
  if (!tensors.has_value()) {
    TVM_FFI_THROW(TypeError) << "function '" << name << "': it returns a " << result.GetTypeKey()
                             << ", not tensors";
  }
  return {tensors->begin(), tensors->end()};
}

}  // namespace

class Functions::Impl {
 public:
  Impl(std::string folder, int threads)
      : files(std::move(folder)), team(threads), threads_(threads) {}

  void Load(const std::string& name, const std::vector<std::string>& functions,
            const std::string& so, const std::string& vta) {
    const std::string what = "module '" + name + "'";
    const CodeLibrary code = LoadCodeLibrary(files.Use(so));
    uint64_t bytes = code.constant_bytes;
    if (!vta.empty()) {
      const std::string path = files.Use(vta);
      const auto programs = Registered("ffi.Module.load_from_file.vta")(path);
      Registered("ffi.ModuleImportModule")(code.root, programs);
      bytes += std::filesystem::file_size(path);
    }
    std::map<std::string, Callable> loaded;
    for (int thread = 0; thread < threads_; ++thread) {
      const ffi::Module machine = MakeMachine(code.root, what);
      for (const std::string& function : functions) {
        loaded[function].module = name;
        loaded[function].by_thread.push_back(Entry(machine, function, what));
      }
    }
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    Forget(name);
    for (auto& [function, callable] : loaded) {
      callables_.insert_or_assign(function, std::move(callable));
    }
    weight_bytes_[name] = bytes;
  }

  void Bind(const std::string& name, ffi::Function function) {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    callables_.insert_or_assign(name, Callable{"", {AcrossLibraries(std::move(function))}});
  }  // NOLINT(clang-analyzer-unix.Malloc): the table owns what is bound

  void Unload() {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    callables_.clear();
    weight_bytes_.clear();
  }

  bool Knows(const std::string& name) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    return callables_.count(name) > 0;
  }

  uint64_t WeightBytes() const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    uint64_t total = 0;
    for (const auto& [name, bytes] : weight_bytes_) {
      total += bytes;
    }
    return total;
  }

  /*! \brief The function for a thread; it lives on when its module is unloaded. */
  ffi::Function Find(const std::string& name, int thread) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = callables_.find(name);
    if (found == callables_.end()) {
      TVM_FFI_THROW(ValueError) << "function '" << name << "': no module that is loaded has it";
    }
    const std::vector<ffi::Function>& by_thread = found->second.by_thread;
    return by_thread.size() == 1 ? by_thread.front() : by_thread.at(static_cast<size_t>(thread));
  }

  FileStore files;
  /*! \brief Shares what is called. */
  Team team;

 private:
  void Forget(const std::string& module) {
    for (auto entry = callables_.begin(); entry != callables_.end();) {
      entry = entry->second.module == module ? callables_.erase(entry) : std::next(entry);
    }
  }

  const int threads_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, Callable> callables_;
  std::map<std::string, uint64_t> weight_bytes_;
};

Functions::Functions(std::string folder, int threads)
    : impl_(std::make_unique<Impl>(std::move(folder), threads)) {}
Functions::~Functions() = default;

bool Functions::Has(const std::string& sha256) const { return impl_->files.Has(sha256); }

void Functions::Store(const std::string& sha256, uint64_t offset, uint64_t size, const char* data,
                      uint64_t bytes) {
  impl_->files.Put(sha256, offset, size, data, bytes);
}

void Functions::Load(const std::string& name, const std::vector<std::string>& functions,
                     const std::string& so, const std::string& vta) {
  impl_->Load(name, functions, so, vta);
}

void Functions::Bind(const std::string& name, ffi::Function function) {
  impl_->Bind(name, std::move(function));
}

void Functions::Unload() { impl_->Unload(); }

bool Functions::Knows(const std::string& name) const { return impl_->Knows(name); }

uint64_t Functions::WeightBytes() const { return impl_->WeightBytes(); }

std::vector<ffi::Tensor> Functions::Call(const std::string& name,
                                         const std::vector<ffi::Tensor>& arguments, int thread) {
  const ffi::Function function = impl_->Find(name, thread);
  const std::vector<ffi::AnyView> views(arguments.begin(), arguments.end());
  ffi::Any result;
  const Team::Member member(&impl_->team);
  function.CallPacked(views.data(), static_cast<int32_t>(views.size()), &result);
  return TensorsOf(result, name);
}

}  // namespace lcp_tvm::worker

#include "code_library.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <tvm/ffi/cast.h>
#include <tvm/ffi/function.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "src/boundary.h"
#include "team.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

namespace {

/*! \brief The symbol of the constants that stay where they are, in the library's file. */
constexpr char kConstants[] = "lcp_constants";

[[noreturn]] void FailCode(const std::string& path, const std::string& what) {
  TVM_FFI_THROW(RuntimeError) << "library " << path << ": " << what;
  TVM_FFI_UNREACHABLE();
}

/*! \brief What dlopen has loaded. */
class Library {
 public:
  explicit Library(std::string path)
      : path_(std::move(path)), handle_(dlopen(path_.c_str(), RTLD_LAZY | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
      FailCode(path_, std::string("cannot be loaded: ") + dlerror());
    }
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { dlclose(handle_); }

  void* Find(const std::string& symbol) const { return dlsym(handle_, symbol.c_str()); }

  /*! \brief The bytes of what a symbol names, as the linker has noted them. */
  std::string_view Bytes(const std::string& symbol) const {
    const auto* begin = static_cast<const char*>(Find(symbol));
    Dl_info place;
    void* entry = nullptr;
    if (begin == nullptr || dladdr1(begin, &place, &entry, RTLD_DL_SYMENT) == 0 ||
        entry == nullptr || place.dli_saddr != begin) {
      return {};
    }
    return {begin, static_cast<const ElfW(Sym)*>(entry)->st_size};
  }

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  void* const handle_;
};

using LibraryPtr = std::shared_ptr<const Library>;

/*! \brief The compiled functions of a library, as tvm-ffi's loader makes them available. */
class FunctionsOfLibrary final : public ffi::ModuleObj {
 public:
  explicit FunctionsOfLibrary(LibraryPtr library) : library_(std::move(library)) {}

  const char* kind() const final { return "library"; }
  int GetPropertyMask() const final { return ffi::Module::kRunnable; }

  ffi::Optional<ffi::Function> GetFunction(const ffi::String& name) final {
    const std::string symbol = ffi::symbol::tvm_ffi_symbol_prefix + std::string(name);
    auto* const address = reinterpret_cast<TVMFFISafeCallType>(library_->Find(symbol));
    if (address == nullptr) {
      return std::nullopt;
    }
    const auto call = [address, library = library_](ffi::PackedArgs args, ffi::Any* result) {
      TVM_FFI_CHECK_SAFE_CALL((*address)(nullptr, reinterpret_cast<const TVMFFIAny*>(args.data()),
                                         args.size(), reinterpret_cast<TVMFFIAny*>(result)));
    };
    return AcrossLibraries(ffi::Function::FromPacked(call));
  }

 private:
  const LibraryPtr library_;
};

/*! \brief Bytes of a library as an ffi object, not copied. */
class EmbeddedBytes final : public ffi::detail::BytesObj {
 public:
  EmbeddedBytes(std::string_view bytes, LibraryPtr library) : library_(std::move(library)) {
    this->data = bytes.data();
    this->size = bytes.size();
  }

 private:
  const LibraryPtr library_;
};

/*! \brief Reads what tvm-ffi has written; integers are little endian. */
class Reader {
 public:
  Reader(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::string_view Take(uint64_t size) {
    if (size > bytes_.size()) {
      FailCode(path_, "what it embeds is cut off");
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  uint64_t Integer() {
    const std::string_view bytes = Take(8);
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) {
      value = value << 8 | static_cast<uint8_t>(bytes[i]);
    }
    return value;
  }

  std::string_view Text() { return Take(Integer()); }

  std::vector<uint64_t> Integers() {
    const uint64_t count = Integer();
    if (count > bytes_.size() / 8) {
      FailCode(path_, "what it embeds is cut off");
    }
    std::vector<uint64_t> values(count);
    for (uint64_t& value : values) {
      value = Integer();
    }
    return values;
  }

 private:
  std::string_view bytes_;
  const std::string& path_;
};

ffi::Module Deserialise(const std::string& kind, std::string_view bytes,
                        const LibraryPtr& library) {
  const auto load = ffi::Function::GetGlobal("ffi.Module.load_from_bytes." + kind);
  if (!load.has_value()) {
    FailCode(library->path(), "nothing here can load what it embeds of kind '" + kind + "'");
  }
  const ffi::ObjectPtr<EmbeddedBytes> object = ffi::make_object<EmbeddedBytes>(bytes, library);
  TVMFFIAny view{};
  view.type_index = ffi::TypeIndex::kTVMFFIBytes;
  view.v_obj = reinterpret_cast<TVMFFIObject*>(
      static_cast<ffi::Object*>(object.get()));  // borrowed for the call
  const ffi::AnyView argument = ffi::AnyView::CopyFromTVMFFIAny(view);
  ffi::Any result;
  AcrossLibraries(*load).CallPacked(&argument, 1, &result);
  return result.cast<ffi::Module>();
}

/*! \brief Give pages of a file back; they are read anew when somebody asks. */
void GiveBack(std::string_view bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const data = const_cast<char*>(bytes.data());
  const uintptr_t skipped = (page - reinterpret_cast<uintptr_t>(data) % page) % page;
  if (bytes.size() > skipped) {
    madvise(data + skipped, (bytes.size() - skipped) / page * page, MADV_DONTNEED);
  }
}

/*!
 * \brief The modules that a library embeds, each with its imports, the first one first.
 *
 *     u64 size | u64s first | u64s child | per module: text kind [, text bytes]
 *
 * Module i imports child[first[i]] to child[first[i + 1] - 1]; kind "_lib" is the library itself
 * and has no bytes.
 */
CodeLibrary ReadEmbedded(std::string_view bytes, const LibraryPtr& library,
                         const ffi::Module& functions) {
  Reader reader(bytes, library->path());
  reader.Integer();
  const std::vector<uint64_t> first = reader.Integers();
  const std::vector<uint64_t> child = reader.Integers();
  CodeLibrary made{functions, 0};
  std::vector<ffi::Module> modules;
  for (size_t i = 0; i + 1 < first.size(); ++i) {
    const std::string kind(reader.Text());
    if (kind == "_lib") {
      modules.push_back(functions);
      continue;
    }
    const std::string_view embedded = reader.Text();
    modules.push_back(Deserialise(kind, embedded, library));
    GiveBack(embedded);
    made.constant_bytes += embedded.size();
  }
  for (size_t i = 0; i < modules.size(); ++i) {
    for (uint64_t j = first[i]; j < first[i + 1]; ++j) {
      if (j >= child.size() || child[j] >= modules.size()) {
        FailCode(library->path(), "its table of imports is corrupt");
      }
      Registered("ffi.ModuleImportModule")(modules[i], modules[child[j]]);
    }
  }
  if (!modules.empty()) {
    made.root = modules.front();
  }
  return made;
}

}  // namespace

CodeLibrary LoadCodeLibrary(const std::string& path) {
  const auto library = std::make_shared<const Library>(path);
  // What generated code calls in tvm-ffi comes to it through variables of the library.
  ffi::Module::VisitContextSymbols(ffi::TypedFunction<void(ffi::String, void*)>(
      [&library](const ffi::String& name, void* symbol) {
        if (void* variable = library->Find(std::string(name))) {
          *static_cast<void**>(variable) = symbol;
        }
      }));
  if (void* variable = library->Find("__TVMBackendParallelLaunch")) {
    *static_cast<LoopLauncher*>(variable) = &Team::Launch;
  }
  const ffi::ObjectPtr<FunctionsOfLibrary> object = ffi::make_object<FunctionsOfLibrary>(library);
  if (void* variable = library->Find(ffi::symbol::tvm_ffi_library_ctx)) {
    *static_cast<void**>(variable) = static_cast<ffi::ModuleObj*>(object.get());
  }
  const ffi::Module functions(object);
  CodeLibrary made{functions, 0};
  const std::string_view embedded = library->Bytes(ffi::symbol::tvm_ffi_library_bin);
  if (!embedded.empty()) {
    made = ReadEmbedded(embedded, library, functions);
  }
  made.constant_bytes += library->Bytes(kConstants).size();
  return made;
}

}  // namespace lcp_tvm::worker

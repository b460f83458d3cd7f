#include "libraries.h"

#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>

namespace lcp_tvm::agent {

namespace fs = std::filesystem;

namespace {

/*! \brief Load a library for good; null when it is in none of the folders. */
void* LoadIfThere(const std::string& name, const std::vector<std::string>& folders) {
  std::error_code error;
  for (const std::string& folder : folders) {
    const fs::path path = fs::path(folder) / name;
    if (!fs::is_regular_file(path, error)) {
      continue;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr) {
      throw std::runtime_error(std::string(dlerror()) + "; is it built for this machine?");
    }
    return handle;
  }
  return nullptr;
}

void* Load(const std::string& name, const std::vector<std::string>& folders) {
  if (void* handle = LoadIfThere(name, folders)) {
    return handle;
  }
  std::string looked;
  for (const std::string& folder : folders) {
    looked += (looked.empty() ? "" : ", ") + folder;
  }
  throw std::runtime_error(name + " is missing (looked in " + looked +
                           "); say where it is with --libraries DIR");
}

template <class Function>
Function Find(void* library, const char* name) {
  void* function = dlsym(library, name);
  if (function == nullptr) {
    throw std::runtime_error(std::string("liblcp_tvm.so has no ") + name +
                             "; it is of another version than this program");
  }
  return reinterpret_cast<Function>(function);
}

}  // namespace

Libraries LoadLibraries(const std::vector<std::string>& first) {
  std::vector<std::string> folders = first;
  const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path packages = here.parent_path().parent_path();
  for (const fs::path& usual :
       {here, here.parent_path() / "lib", packages / "tvm_ffi" / "lib", packages / "tvm" / "lib"}) {
    folders.push_back(usual.string());
  }
  // Each needs those before it.
  Load("libtvm_ffi.so", folders);
  Load("libtvm_runtime.so", folders);
  LoadIfThere("libtvm_runtime_extra.so", folders);  // sorting, random numbers
  void* ours = Load("liblcp_tvm.so", folders);
  return {Find<decltype(&LcpSetBoard)>(ours, "LcpSetBoard"),
          Find<decltype(&LcpUseBoard)>(ours, "LcpUseBoard"),
          Find<decltype(&LcpProbe)>(ours, "LcpProbe"),
          Find<decltype(&LcpServeSession)>(ours, "LcpServeSession")};
}

}  // namespace lcp_tvm::agent

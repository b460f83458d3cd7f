// A library of the board's image, opened when the program runs: we link with none of them.
#ifndef LCP_TVM_DRIVER_SHARED_LIBRARY_H_
#define LCP_TVM_DRIVER_SHARED_LIBRARY_H_

#include <dlfcn.h>

#include <string>
#include <utility>

namespace lcp_tvm::driver {

class SharedLibrary {
 public:
  SharedLibrary() = default;
  explicit SharedLibrary(const std::string& path)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}
  SharedLibrary(SharedLibrary&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  SharedLibrary& operator=(SharedLibrary&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~SharedLibrary() {
    if (is_open()) {
      dlclose(handle_);
    }
  }

  bool is_open() const { return handle_ != nullptr; }

  /*! \brief Set `function` to the library's; whether it has it. */
  template <class Function>
  bool Find(const char* name, Function** function) const {
    *function = reinterpret_cast<Function*>(dlsym(handle_, name));
    return *function != nullptr;
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_SHARED_LIBRARY_H_

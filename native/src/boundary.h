// Functions that are called from one library in another.
//
// tvm-ffi lets C++ callers take a short cut on which exceptions pass through. They must not: a
// build with ziglang has a C++ library of its own, which catches nothing that TVM's throws, nor the
// other way round. Behind this boundary errors travel as tvm-ffi's error objects, as they do in
// Python.
#ifndef LCP_TVM_BOUNDARY_H_
#define LCP_TVM_BOUNDARY_H_

#include <tvm/ffi/function.h>

#include <utility>

namespace lcp_tvm {

/*! \brief A function that others may call, or of others, with no short cut for exceptions. */
inline tvm::ffi::Function AcrossLibraries(tvm::ffi::Function function) {
  TVMFFIObjectHandle handle =
      tvm::ffi::detail::ObjectUnsafe::MoveObjectRefToTVMFFIObjectPtr(std::move(function));
  return tvm::ffi::Function::FromExternC(
      handle,
      [](void* self, const TVMFFIAny* args, int32_t count, TVMFFIAny* result) {
        return TVMFFIFunctionCall(self, const_cast<TVMFFIAny*>(args), count, result);
      },
      [](void* self) { TVMFFIObjectDecRef(self); });
}

/*! \brief A registered function of another library; it must be there. */
inline tvm::ffi::Function Registered(const char* name) {
  return AcrossLibraries(tvm::ffi::Function::GetGlobalRequired(name));
}

}  // namespace lcp_tvm
#endif  // LCP_TVM_BOUNDARY_H_

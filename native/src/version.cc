#include <lcp_tvm/version.h>
#include <tvm/ffi/reflection/registry.h>
#include <tvm/ffi/string.h>

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = tvm::ffi::reflection;
  refl::GlobalDef().def("lcp_tvm.Version", []() { return tvm::ffi::String(lcp_tvm::kVersion); });
}

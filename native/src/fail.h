// Failures that cross the FFI.
//
// Everything a caller can cause leaves the library as a tvm-ffi error of kind RuntimeError whose
// message opens with one of four tags; lcp_tvm/vta/simulator.py turns the tag into an error class.
//   [vta-config]   a config or option that is wrong, or another board's  -> ConfigError
//   [vta-program]  the bytes of a program, or a call with wrong tensors  -> PackageError
//   [vta-sim]      a stream that the hardware would get wrong            -> SimulationError
//   [vta-board]    a board that lacks something, or whose accelerator hangs -> WorkerError
#ifndef LCP_TVM_FAIL_H_
#define LCP_TVM_FAIL_H_

#include <tvm/ffi/error.h>

#include <string>

namespace lcp_tvm::vta {

[[noreturn]] inline void FailConfig(const std::string& message) {
  TVM_FFI_THROW(RuntimeError) << "[vta-config] " << message;
  TVM_FFI_UNREACHABLE();
}

[[noreturn]] inline void FailProgram(const std::string& message) {
  TVM_FFI_THROW(RuntimeError) << "[vta-program] " << message;
  TVM_FFI_UNREACHABLE();
}

[[noreturn]] inline void FailSim(const std::string& message) {
  TVM_FFI_THROW(RuntimeError) << "[vta-sim] " << message;
  TVM_FFI_UNREACHABLE();
}

[[noreturn]] inline void FailBoard(const std::string& message) {
  TVM_FFI_THROW(RuntimeError) << "[vta-board] " << message;
  TVM_FFI_UNREACHABLE();
}

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_FAIL_H_

// What a node refuses leaves it as a tvm-ffi error of kind RuntimeError whose message opens with
// the tag [lcp-node]; lcp_tvm/vta/simulator.py makes a WorkerError of it.
#ifndef LCP_TVM_WORKER_FAIL_NODE_H_
#define LCP_TVM_WORKER_FAIL_NODE_H_

#include <tvm/ffi/error.h>

#include <string>

namespace lcp_tvm::worker {

[[noreturn]] inline void FailNode(const std::string& message) {
  TVM_FFI_THROW(RuntimeError) << "[lcp-node] " << message;
  TVM_FFI_UNREACHABLE();
}

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_FAIL_NODE_H_

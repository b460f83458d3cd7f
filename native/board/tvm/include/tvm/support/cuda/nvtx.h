// Marks for a profiler of GPUs, which a board has none of.
#ifndef LCP_TVM_BOARD_TVM_SUPPORT_NVTX_H_
#define LCP_TVM_BOARD_TVM_SUPPORT_NVTX_H_

#include <string>

namespace tvm::support {

struct NVTXScopedRange {
  explicit NVTXScopedRange(const std::string& /*name*/) {}
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_SUPPORT_NVTX_H_

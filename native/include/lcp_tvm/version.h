#ifndef LCP_TVM_VERSION_H_
#define LCP_TVM_VERSION_H_

namespace lcp_tvm {

constexpr const char* kVersion = "0.1.0";
/*! \brief Of the frames between nodes and of their control functions (docs/runtime.md). */
constexpr int kProtocol = 2;

}  // namespace lcp_tvm
#endif  // LCP_TVM_VERSION_H_

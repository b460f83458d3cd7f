// The clock of all times here.
#ifndef LCP_TVM_TRANSPORT_CLOCK_H_
#define LCP_TVM_TRANSPORT_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace lcp_tvm::transport {

/*! \brief The steady clock in ns. */
inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_CLOCK_H_

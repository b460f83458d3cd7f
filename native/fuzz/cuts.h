// Streams in pieces, as they may arrive.
#ifndef LCP_TVM_FUZZ_CUTS_H_
#define LCP_TVM_FUZZ_CUTS_H_

#include <cstddef>
#include <cstdint>

namespace lcp_tvm::tests {

/*! \brief Lengths in which the bytes arrive; cheap and repeatable. */
class Cuts {
 public:
  explicit Cuts(size_t seed) : state_(static_cast<uint32_t>(seed)) {}
  size_t Next() {
    state_ = state_ * 1664525U + 1013904223U;
    return 1 + (state_ >> 16) % 97;
  }

 private:
  uint32_t state_;
};

}  // namespace lcp_tvm::tests
#endif  // LCP_TVM_FUZZ_CUTS_H_

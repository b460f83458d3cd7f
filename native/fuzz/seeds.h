// What a fuzz target gives the driver to begin with.
#ifndef LCP_TVM_FUZZ_SEEDS_H_
#define LCP_TVM_FUZZ_SEEDS_H_

#include <cstdint>
#include <vector>

namespace lcp_tvm::tests {

using Bytes = std::vector<uint8_t>;

/*! \brief Streams that break no rule; every target has its own. */
std::vector<Bytes> Seeds();

}  // namespace lcp_tvm::tests
#endif  // LCP_TVM_FUZZ_SEEDS_H_

// int8 [1, C, H, W] tensors <-> VTA's blocks [ceil(C / BLOCK)][H][W][BLOCK]; absent channels are 0.
#ifndef LCP_TVM_LAYOUT_H_
#define LCP_TVM_LAYOUT_H_

#include <cstdint>

namespace lcp_tvm::vta {

/*! \brief `pixels` is H * W; `to` has ceil(C / block) * pixels * block elements. */
void PackBlocks(const int8_t* from, int64_t channels, int64_t pixels, int64_t block, int8_t* to);
void UnpackBlocks(const int8_t* from, int64_t channels, int64_t pixels, int64_t block, int8_t* to);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_LAYOUT_H_

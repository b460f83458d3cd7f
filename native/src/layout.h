// int8 [N, C, H, W] tensors <-> VTA's elements [C / BLOCK][N / BATCH][H][W][BATCH][BLOCK], rounded
// up; what is absent is 0.
#ifndef LCP_TVM_LAYOUT_H_
#define LCP_TVM_LAYOUT_H_

#include <cstdint>

namespace lcp_tvm::vta {

/*! \brief A tensor's sizes, and those of the elements that hold it; `pixels` is H * W. */
struct Layout {
  int64_t frames, channels, pixels;
  int64_t batch, block;

  int64_t blocks() const { return (channels + block - 1) / block; }
  int64_t groups() const { return (frames + batch - 1) / batch; }
  /*! \brief Values of all elements. */
  int64_t size() const { return blocks() * groups() * pixels * batch * block; }
};

/*! \brief `to` has `layout.size()` values. */
void PackElements(const int8_t* from, const Layout& layout, int8_t* to);
/*! \brief `from` has `layout.size()` values. */
void UnpackElements(const int8_t* from, const Layout& layout, int8_t* to);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_LAYOUT_H_

#include "layout.h"

#include <algorithm>

namespace lcp_tvm::vta {

void PackBlocks(const int8_t* from, int64_t channels, int64_t pixels, int64_t block, int8_t* to) {
  for (int64_t first = 0; first < channels; first += block) {
    const int64_t present = std::min(block, channels - first);
    const int8_t* plane = from + first * pixels;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (int64_t c = 0; c < present; ++c) {
        to[c] = plane[c * pixels + pixel];
      }
      std::fill(to + present, to + block, int8_t{0});
      to += block;
    }
  }
}

void UnpackBlocks(const int8_t* from, int64_t channels, int64_t pixels, int64_t block, int8_t* to) {
  for (int64_t c = 0; c < channels; ++c) {
    const int8_t* source = from + (c / block) * pixels * block + c % block;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      *to++ = source[pixel * block];
    }
  }
}

}  // namespace lcp_tvm::vta

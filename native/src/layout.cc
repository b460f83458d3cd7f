#include "layout.h"

#include <algorithm>

namespace lcp_tvm::vta {

namespace {

// One frame's channels of one block: they lie `lanes` apart from pixel to pixel.
struct Part {
  const Layout& layout;
  int64_t frame, first;

  int64_t present() const { return std::min(layout.block, layout.channels - first); }
  int64_t lanes() const { return layout.batch * layout.block; }
  int64_t in_tensor() const { return (frame * layout.channels + first) * layout.pixels; }
  int64_t in_elements() const {
    const int64_t plane = first / layout.block * layout.groups() + frame / layout.batch;
    return plane * layout.pixels * lanes() + frame % layout.batch * layout.block;
  }
};

template <class Visit>
void ForEachPart(const Layout& layout, const Visit& visit) {
  for (int64_t first = 0; first < layout.channels; first += layout.block) {
    for (int64_t frame = 0; frame < layout.frames; ++frame) {
      visit(Part{layout, frame, first});
    }
  }
}

}  // namespace

void PackElements(const int8_t* from, const Layout& layout, int8_t* to) {
  if (layout.channels % layout.block != 0 || layout.frames % layout.batch != 0) {
    std::fill_n(to, layout.size(), int8_t{0});
  }
  ForEachPart(layout, [&](const Part& part) {
    const int8_t* plane = from + part.in_tensor();
    int8_t* element = to + part.in_elements();
    for (int64_t pixel = 0; pixel < layout.pixels; ++pixel, element += part.lanes()) {
      for (int64_t c = 0; c < part.present(); ++c) {
        element[c] = plane[c * layout.pixels + pixel];
      }
    }
  });
}

void UnpackElements(const int8_t* from, const Layout& layout, int8_t* to) {
  ForEachPart(layout, [&](const Part& part) {
    int8_t* plane = to + part.in_tensor();
    for (int64_t c = 0; c < part.present(); ++c) {
      const int8_t* element = from + part.in_elements() + c;
      for (int64_t pixel = 0; pixel < layout.pixels; ++pixel, element += part.lanes()) {
        *plane++ = *element;
      }
    }
  });
}

}  // namespace lcp_tvm::vta

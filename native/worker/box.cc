#include "box.h"

#include <array>
#include <cstring>

namespace lcp_tvm::worker {

namespace {

/*! \brief By dimension, bytes between elements of an array that holds a box. */
std::array<uint64_t, transport::kMaxDims> Strides(const Box& box, uint32_t item_bytes) {
  std::array<uint64_t, transport::kMaxDims> strides{};
  uint64_t bytes = item_bytes;
  for (size_t d = box.ndim; d-- > 0;) {
    strides[d] = bytes;
    bytes *= box.end[d] - box.begin[d];
  }
  return strides;
}

bool SameRange(const Box& a, const Box& b, size_t d) {
  return a.begin[d] == b.begin[d] && a.end[d] == b.end[d];
}

}  // namespace

bool Contains(const Box& outer, const Box& inner) {
  if (inner.ndim != outer.ndim) {
    return false;
  }
  for (size_t d = 0; d < inner.ndim; ++d) {
    if (inner.begin[d] < outer.begin[d] || inner.end[d] > outer.end[d]) {
      return false;
    }
  }
  return true;
}

size_t Hash(const Box& box) {
  uint64_t hash = box.ndim;
  for (size_t d = 0; d < box.ndim; ++d) {
    hash = (hash ^ box.begin[d]) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 29) ^ box.end[d]) * 0xBF58476D1CE4E5B9u;
  }
  return static_cast<size_t>(hash ^ (hash >> 32));
}

std::string Text(const Box& box) {
  std::string text = "[";
  for (size_t d = 0; d < box.ndim; ++d) {
    text += (d == 0 ? "" : ", ") + std::to_string(box.begin[d]) + ":" + std::to_string(box.end[d]);
  }
  return text + "]";
}

void CopyPart(const Box& part, uint32_t item_bytes, const uint8_t* from, const Box& from_box,
              uint8_t* to, const Box& to_box) {
  if (part.Size() == 0) {
    return;
  }
  const auto from_strides = Strides(from_box, item_bytes);
  const auto to_strides = Strides(to_box, item_bytes);
  // Dimensions from `outer` on lie in one piece in both arrays.
  size_t outer = part.ndim;
  uint64_t run = item_bytes;
  while (outer > 0) {
    --outer;
    run *= part.end[outer] - part.begin[outer];
    if (!SameRange(part, from_box, outer) || !SameRange(part, to_box, outer)) {
      break;
    }
  }
  std::array<uint32_t, transport::kMaxDims> at = part.begin;
  for (;;) {
    uint64_t from_offset = 0, to_offset = 0;
    for (size_t d = 0; d < part.ndim; ++d) {
      from_offset += (at[d] - from_box.begin[d]) * from_strides[d];
      to_offset += (at[d] - to_box.begin[d]) * to_strides[d];
    }
    std::memcpy(to + to_offset, from + from_offset, run);
    size_t d = outer;
    for (; d > 0; --d) {
      ++at[d - 1];
      if (at[d - 1] < part.end[d - 1]) {
        break;
      }
      at[d - 1] = part.begin[d - 1];
    }
    if (d == 0) {
      return;
    }
  }
}

}  // namespace lcp_tvm::worker

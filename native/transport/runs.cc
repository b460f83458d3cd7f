#include "runs.h"

namespace lcp_tvm::transport {

Runs::Runs(const Payload& payload, uint64_t from) {
  const Box& array = payload.array;
  const Box& part = payload.part;
  at_ = payload.data;
  run_bytes_ = payload.item_bytes;
  outer_ = part.ndim;
  uint64_t stride = payload.item_bytes;
  bool together = true;
  for (size_t d = part.ndim; d-- > 0;) {
    stride_[d] = stride;
    extent_[d] = part.end[d] - part.begin[d];
    at_ += stride * (part.begin[d] - array.begin[d]);
    const uint32_t held = array.end[d] - array.begin[d];
    stride *= held;
    if (together) {
      run_bytes_ *= extent_[d];
      outer_ = d;
      together = extent_[d] == held;
    }
  }
  const uint64_t size = part.Size() * payload.item_bytes;
  if (from >= size) {
    return;
  }
  uint64_t first = from / run_bytes_;
  skip_ = from % run_bytes_;
  runs_left_ = size / run_bytes_ - first;
  for (size_t d = outer_; d-- > 0;) {
    index_[d] = static_cast<uint32_t>(first % extent_[d]);
    first /= extent_[d];
    at_ += stride_[d] * index_[d];
  }
}

bool Runs::Next(Run* run) {
  if (runs_left_ == 0) {
    return false;
  }
  *run = {at_ + skip_, run_bytes_ - skip_};
  skip_ = 0;
  if (--runs_left_ == 0) {
    return true;
  }
  for (size_t d = outer_; d-- > 0;) {
    at_ += stride_[d];
    if (++index_[d] < extent_[d]) {
      break;
    }
    at_ -= stride_[d] * extent_[d];
    index_[d] = 0;
  }
  return true;
}

bool PartInside(const Payload& payload) {
  if (payload.array.ndim != payload.part.ndim || payload.part.ndim > kMaxDims) {
    return false;
  }
  for (size_t d = 0; d < payload.part.ndim; ++d) {
    if (payload.part.begin[d] < payload.array.begin[d] ||
        payload.part.end[d] > payload.array.end[d] || payload.part.begin[d] > payload.part.end[d]) {
      return false;
    }
  }
  return true;
}

}  // namespace lcp_tvm::transport

#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

namespace {

/*! \brief From this size on tensors ask for huge pages. */
constexpr uint64_t kHuge = uint64_t{8} << 20;

/*!
 * \brief Have fresh memory come in huge pages, where the system has them: page by page it costs as
 * much time as the copying from a socket.
 */
void PreferHugePages(void* data, uint64_t bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const memory = static_cast<uint8_t*>(data);
  const uintptr_t skipped = (page - reinterpret_cast<uintptr_t>(data) % page) % page;
  madvise(memory + skipped, (bytes - skipped) / page * page, MADV_HUGEPAGE);  // a mere wish
}

/*! \brief Hands memory to a tensor, which frees it. */
struct Handover {
  void AllocData(DLTensor* tensor) const { tensor->data = data; }
  void FreeData(DLTensor* tensor) const { std::free(tensor->data); }
  void* data;
};

using Shape = std::array<int64_t, transport::kMaxDims>;

Shape ShapeOf(const Box& box) {
  Shape shape{};
  for (size_t d = 0; d < box.ndim; ++d) {
    shape[d] = box.end[d] - box.begin[d];
  }
  return shape;
}

std::string Text(const int64_t* shape, size_t ndim) {
  std::string text = "[";
  for (size_t d = 0; d < ndim; ++d) {
    text += (d == 0 ? "" : ", ") + std::to_string(shape[d]);
  }
  return text + "]";
}

/*! \brief Types that have the same bytes are the same: TVM has had more than one bool. */
bool SameType(DLDataType a, DLDataType b) {
  const auto is_bool = [](DLDataType t) {
    return t.code == kDLBool || (t.code == kDLUInt && t.bits == 1);
  };
  return a == b || (is_bool(a) && is_bool(b) && a.lanes == b.lanes);
}

}  // namespace

bool MemoryBudget::Take(uint64_t bytes, uint64_t leave) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t free = limit_ - std::min(limit_, held_);
  if (limit_ != 0 && (bytes > free || leave > free - bytes)) {
    return false;
  }
  held_ += bytes;
  peak_ = std::max(peak_, held_);
  return true;
}

void MemoryBudget::Give(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_ -= bytes;
  if (freed_) {
    freed_();
  }
}

void MemoryBudget::Watch(const void* watcher, std::function<void()> freed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  watcher_ = watcher;
  freed_ = std::move(freed);
}

void MemoryBudget::Unwatch(const void* watcher) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (watcher_ == watcher) {
    freed_ = nullptr;
  }
}

uint64_t MemoryBudget::held() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return held_;
}

uint64_t MemoryBudget::Peak() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(peak_, held_);
}

ffi::Tensor NewTensor(const TensorFacts& tensor, const Box& box) {
  const uint64_t bytes = box.Size() * tensor.item_bytes;
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (data == nullptr) {
    throw std::bad_alloc();
  }
  if (bytes >= kHuge) {
    PreferHugePages(data, bytes);
  }
  const Shape shape = ShapeOf(box);
  return ffi::Tensor::FromNDAlloc(Handover{data}, ffi::ShapeView(shape.data(), box.ndim),
                                  tensor.dtype, DLDevice{kDLCPU, 0});
}

std::string Mismatch(const DLTensor& array, const TensorFacts& tensor, const Box& box) {
  const Shape wanted = ShapeOf(box);
  const auto ndim = static_cast<size_t>(array.ndim);
  if (array.device.device_type != kDLCPU || !ffi::IsContiguous(array)) {
    return "is no contiguous array in memory";
  }
  if (!SameType(array.dtype, tensor.dtype)) {
    return "has type " + std::string(ffi::DLDataTypeToString(array.dtype)) + ", not " +
           std::string(ffi::DLDataTypeToString(tensor.dtype));
  }
  if (ndim != box.ndim || !std::equal(array.shape, array.shape + ndim, wanted.begin())) {
    return "has shape " + Text(array.shape, ndim) + ", not " + Text(wanted.data(), box.ndim);
  }
  return "";
}

}  // namespace lcp_tvm::worker

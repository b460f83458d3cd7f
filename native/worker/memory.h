// Memory that counts against a node's limit for as long as somebody holds it.
#ifndef LCP_TVM_WORKER_MEMORY_H_
#define LCP_TVM_WORKER_MEMORY_H_

#include <tvm/ffi/container/tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "program.h"

namespace lcp_tvm::worker {

/*! \brief Counts bytes. Any thread may use it. */
class MemoryBudget {
 public:
  /*! \brief A limit of 0 is none. */
  explicit MemoryBudget(uint64_t limit) : limit_(limit) {}

  /*! \brief Count bytes, if they fit beside what is held, and leave so many of the limit. */
  bool Take(uint64_t bytes, uint64_t leave = 0);
  void Give(uint64_t bytes);

  /*!
   * \brief Have `freed` called whenever bytes are given back, by whichever thread does, which may
   * hold any lock. The last one who watches is told.
   */
  void Watch(const void* watcher, std::function<void()> freed);
  /*! \brief When this returns, the watcher is not called any more. */
  void Unwatch(const void* watcher);

  uint64_t limit() const { return limit_; }
  uint64_t held() const;
  /*! \brief The most that was held at a time, since the last call of this. */
  uint64_t Peak();

 private:
  const uint64_t limit_;
  mutable std::mutex mutex_;
  uint64_t held_ = 0;
  uint64_t peak_ = 0;
  const void* watcher_ = nullptr;
  std::function<void()> freed_;
};

/*! \brief Bytes that are counted until this dies. */
class Charge {
 public:
  Charge() = default;
  /*! \brief Bytes that `budget` counts already. */
  Charge(std::shared_ptr<MemoryBudget> budget, uint64_t bytes)
      : budget_(std::move(budget)), bytes_(bytes) {}
  Charge(Charge&& other) noexcept
      : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge() {
    if (bytes_ != 0) {
      budget_->Give(bytes_);
    }
  }

  /*! \brief A charge of its own for a part of the bytes, at most all of them. */
  Charge Split(uint64_t bytes) {
    bytes_ -= bytes;
    return Charge(budget_, bytes);
  }

 private:
  std::shared_ptr<MemoryBudget> budget_;
  uint64_t bytes_ = 0;
};

/*! \brief A box of a tensor in memory, elements row by row. */
struct Block {
  uint32_t tensor = 0;
  Box box;
  tvm::ffi::Tensor data;
  Charge charge;

  uint8_t* bytes() const { return static_cast<uint8_t*>(data.data_ptr()) + data.byte_offset(); }
};
using BlockRef = std::shared_ptr<const Block>;

/*! \brief Arrays begin at multiples of this. */
constexpr size_t kAlignment = 64;

/*! \brief A new array for a box, on a multiple of kAlignment. Throws std::bad_alloc. */
tvm::ffi::Tensor NewTensor(const TensorFacts& tensor, const Box& box);

/*! \brief Why an array cannot stand for a box of a tensor; empty if it can. */
std::string Mismatch(const DLTensor& array, const TensorFacts& tensor, const Box& box);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_MEMORY_H_

// What a task reads, as it comes: pieces from the frame and from other tasks.
#ifndef LCP_TVM_WORKER_GATHER_H_
#define LCP_TVM_WORKER_GATHER_H_

#include <cstdint>
#include <vector>

#include "memory.h"
#include "program.h"

namespace lcp_tvm::worker {

/*! \brief The reads of a task, or of the plan's outputs, in one frame. */
class Gather {
 public:
  /*! \brief `reads` outlives this. `needs`: so many of them suffice; -1: all. */
  Gather(const std::vector<Read>* reads, int needs);

  bool Has(uint32_t read, uint32_t piece) const { return found_[first_[read] + piece] != nullptr; }
  /*! \brief Take a block that holds a piece; one that is there already stays. */
  void Put(uint32_t read, uint32_t piece, BlockRef block);
  /*! \brief Take a block for all pieces of a producer that it holds. */
  void PutAll(int producer, const BlockRef& block);
  /*! \brief Whether enough has come. */
  bool IsReady() const { return missing_ <= 0; }

  const std::vector<Read>& reads() const { return *reads_; }

  /*! \brief Bytes that are passed on as they came, and bytes that `Arguments` has to assemble. */
  struct Size {
    uint64_t direct = 0;
    uint64_t assembled = 0;
  };
  Size Measure(const Program& program) const;

  /*!
   * \brief The arguments: a block that is just what a read says as it is, others assembled, zeros
   * for what did not come; and where not all reads are needed, the int32 vector of those that came.
   * The pieces of what was assembled are let go of. Throws std::bad_alloc.
   */
  std::vector<tvm::ffi::Tensor> Arguments(const Program& program);

 private:
  bool IsComplete(size_t read) const { return left_[read] == 0; }
  /*! \brief The block that is the whole read, at an address that code may ask for; or none. */
  const Block* Whole(size_t read) const;
  tvm::ffi::Tensor Assemble(const Program& program, size_t number) const;

  const std::vector<Read>* reads_;
  bool needs_all_;
  int missing_;                  // reads, of those that are needed
  std::vector<uint32_t> first_;  // by read, its first piece in found_
  std::vector<uint32_t> left_;   // by read, pieces that have not come
  std::vector<BlockRef> found_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_GATHER_H_

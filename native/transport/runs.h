// The contiguous runs of a box inside an array, in the order in which they are sent.
#ifndef LCP_TVM_TRANSPORT_RUNS_H_
#define LCP_TVM_TRANSPORT_RUNS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "handler.h"

namespace lcp_tvm::transport {

/*! \brief Bytes that lie together. */
struct Run {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
};

/*!
 * \brief Walks the runs of a payload. Trailing dimensions of which all is sent make one run with
 * the dimension before them, so a whole array is a single run.
 */
class Runs {
 public:
  /*! \brief Begin at byte `from` of the payload, which outlives this and has its part inside. */
  Runs(const Payload& payload, uint64_t from);

  /*! \brief The next run; false: there is none. */
  bool Next(Run* run);

  /*! \brief Bytes of all runs but perhaps the first. */
  size_t run_bytes() const { return run_bytes_; }

 private:
  const uint8_t* at_ = nullptr;
  size_t run_bytes_ = 0;
  /*! \brief Bytes of the next run that are skipped. */
  size_t skip_ = 0;
  uint64_t runs_left_ = 0;
  /*! \brief The dimensions around a run: how far they have come, how far they go, their strides. */
  size_t outer_ = 0;
  std::array<uint32_t, kMaxDims> index_{};
  std::array<uint32_t, kMaxDims> extent_{};
  std::array<uint64_t, kMaxDims> stride_{};
};

/*! \brief Whether the part to send lies inside the array. */
bool PartInside(const Payload& payload);

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_RUNS_H_

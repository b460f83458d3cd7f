// Boxes of tensors: what they hold of each other, and copies between arrays that hold them.
#ifndef LCP_TVM_WORKER_BOX_H_
#define LCP_TVM_WORKER_BOX_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "transport/frame.h"

namespace lcp_tvm::worker {

using transport::Box;

/*! \brief Whether every element of `inner` is in `outer`, of as many dimensions. */
bool Contains(const Box& outer, const Box& inner);

size_t Hash(const Box& box);

/*! \brief As Python writes slices: [0:1, 0:3, 4:8]. */
std::string Text(const Box& box);

/*!
 * \brief Copy elements from one array to another.
 * \param part What to copy; inside both others.
 * \param from_box What the array `from` holds, row by row.
 * \param to_box What the array `to` holds.
 */
void CopyPart(const Box& part, uint32_t item_bytes, const uint8_t* from, const Box& from_box,
              uint8_t* to, const Box& to_box);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_BOX_H_

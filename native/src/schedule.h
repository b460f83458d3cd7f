// When each instruction runs, and what it knows: fetch, three in-order units, four token queues.
//
// The queues make the machine a Kahn network: every order that respects them gives the same times
// and the same pairing of tokens, so time, order and knowledge come from the stream alone, before
// any data is touched.
//
// `known[u]` of an instruction counts the instructions of unit u that happened before it: by the
// order of its own unit and by tokens. Back pressure of full queues orders nothing that a program
// may rely on, and is left out of `known`.
//
// Depths: an instruction occupies its command queue until its tokens have come. (The hardware's
// stage holds one more; a program may not need it.)
#ifndef LCP_TVM_SCHEDULE_H_
#define LCP_TVM_SCHEDULE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "stream.h"

namespace lcp_tvm::vta {

using Clock = std::array<uint32_t, kNumUnits>;

struct Slot {
  double finish = 0;  // cycles after the launch
  Clock known{};
};

struct Schedule {
  std::vector<uint32_t> order;  // instruction indices, consistent with the tokens
  std::vector<Slot> slots;      // by instruction index
  double cycles = 0;            // completion of the last instruction
};

/*!
 * \brief Run the stream's queues.
 * \throws [vta-sim] for a deadlock (what each unit waits for), for tokens left at FINISH, and for a
 *         load or store that FINISH is not known to come after (vta.md rules 8, 9, 10).
 */
Schedule RunQueues(const Stream& stream);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_SCHEDULE_H_

// What a board has and lacks, each lack with what cures it.
#ifndef LCP_TVM_DRIVER_PROBE_H_
#define LCP_TVM_DRIVER_PROBE_H_

#include <string>
#include <vector>

#include "board_device.h"

namespace lcp_tvm::driver {

struct Fact {
  std::string name;
  std::string value;
  std::string cure;  // empty: nothing is missing
};

/*!
 * \brief Look at the machine that this process runs on.
 * \param config Of the board's VTA; empty for a board without one.
 * \param self_test File of a program (`SelfTest`); empty for none.
 */
std::vector<Fact> Probe(const BoardOptions& options, const std::string& config,
                        const std::string& self_test);

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_PROBE_H_

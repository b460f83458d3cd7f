// A program on a board's accelerator and on the simulator, compared bit by bit.
#ifndef LCP_TVM_DRIVER_SELF_TEST_H_
#define LCP_TVM_DRIVER_SELF_TEST_H_

#include <string>

#include "board_device.h"

namespace lcp_tvm::driver {

/*!
 * \brief Run the first program of a `.vta` file on any inputs.
 * \return The milliseconds that the best of three runs took.
 * \throws [vta-board] when the board is not there, hangs, or gives other bits; [vta-program] when
 *         the file is none.
 */
double SelfTest(const std::string& file, const BoardOptions& options);

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_SELF_TEST_H_

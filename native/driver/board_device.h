// A board: its accelerator, its contiguous memory, and the devices of programs on them.
#ifndef LCP_TVM_DRIVER_BOARD_DEVICE_H_
#define LCP_TVM_DRIVER_BOARD_DEVICE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "accelerator.h"
#include "contiguous.h"
#include "src/config.h"
#include "src/device.h"

namespace lcp_tvm::driver {

/*! \brief How a board is opened. */
struct BoardOptions {
  std::string root;             // below which /dev, /sys and /usr/lib are; empty on a real board
  std::string memory = "auto";  // "xrt", "cma", "udmabuf", or the first that there is
  std::chrono::milliseconds deadline{10000};
};

struct Board {
  /*! \throws [vta-board] for what the board lacks. */
  Board(const BoardOptions& options, const std::string& family)
      : memory(OpenContiguous(Root(options.root), options.memory)),
        accelerator(Root(options.root), family, options.deadline) {}

  const std::unique_ptr<ContiguousSource> memory;
  Accelerator accelerator;
};

/*!
 * \brief A device with `size` zeroed bytes of the board's memory; which keeps the board open.
 * \throws [vta-board] when there is not so much.
 */
std::unique_ptr<vta::Device> MakeBoardDevice(const vta::Config& config, uint64_t size,
                                             const std::shared_ptr<Board>& board);

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_BOARD_DEVICE_H_

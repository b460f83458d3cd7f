// The board that this process is, of which there is one at most.
#ifndef LCP_TVM_PROCESS_BOARD_H_
#define LCP_TVM_PROCESS_BOARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "config.h"
#include "device.h"

namespace lcp_tvm::vta {

using MakeDevice = std::function<std::unique_ptr<Device>(const Config& config, uint64_t size)>;

struct ProcessBoard {
  std::mutex mutex;
  std::string config;  // that SetBoard has declared; empty: not a board
  MakeDevice make_device = MakeSimulatedDevice;
  std::mutex accelerator;  // held while a program runs

  static ProcessBoard& Instance();

  std::unique_ptr<Device> Make(const Config& wanted, uint64_t size) {
    const std::lock_guard<std::mutex> lock(mutex);
    return make_device(wanted, size);
  }
};

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_PROCESS_BOARD_H_

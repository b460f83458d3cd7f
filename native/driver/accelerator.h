// The accelerator of a board: start a program, wait for its end, and bring it back when it hangs.
#ifndef LCP_TVM_DRIVER_ACCELERATOR_H_
#define LCP_TVM_DRIVER_ACCELERATOR_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "registers.h"
#include "root.h"

namespace lcp_tvm::driver {

class Accelerator {
 public:
  /*!
   * \param family Of the VTA config, key TARGET.
   * \param deadline How long a program may take.
   * \throws [vta-board] when the FPGA holds no design or another process has the accelerator.
   */
  Accelerator(const Root& root, const std::string& family, std::chrono::milliseconds deadline);
  Accelerator(const Accelerator&) = delete;
  Accelerator& operator=(const Accelerator&) = delete;
  ~Accelerator();

  /*!
   * \brief Run `count` instructions at a physical address to their FINISH; the milliseconds taken.
   * \throws [vta-board] when the deadline passes. The accelerator is loaded anew before the next
   *         program, since no one knows what tokens the last has left.
   */
  double Run(uint64_t address, uint64_t count);

 private:
  void Reload();
  bool WaitForEnd(std::chrono::steady_clock::time_point begin);

  const Root root_;
  const std::chrono::milliseconds deadline_;
  Registers registers_;
  int lock_;
  bool hung_ = false;
};

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_ACCELERATOR_H_

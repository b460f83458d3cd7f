// One program and the device it runs on.
//
// Lives as long as its module; the device comes with the first run. All public functions may be
// called from any thread: a mutex makes them take turns.
#ifndef LCP_TVM_PROGRAM_RUNNER_H_
#define LCP_TVM_PROGRAM_RUNNER_H_

#include <tvm/ffi/container/tensor.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "device.h"
#include "program_file.h"

namespace lcp_tvm::vta {

class ProgramRunner {
 public:
  /*! \brief Both must outlive the runner. */
  ProgramRunner(const Config& config, const Program& program)
      : config_(config), program_(program) {}

  /*!
   * \brief Pack the inputs, run, unpack the outputs.
   * \param tensors Inputs, then outputs: int8, contiguous, on the CPU, of the program's shapes.
   * \throws [vta-program] for other tensors, [vta-sim] for what the hardware would get wrong.
   */
  void Run(const std::vector<tvm::ffi::TensorView>& tensors);

  /*! \brief Statistics and DRAM after the last run that succeeded; [vta-program] before it. */
  std::string StatsText();
  std::string Dram();

  size_t arity() const { return program_.inputs.size() + program_.outputs.size(); }
  const std::string& symbol() const { return program_.symbol; }

 private:
  void CheckTensor(const tvm::ffi::TensorView& tensor, const TensorSlot& slot,
                   const char* role) const;
  // Statistics of the last run; throws when there are none.
  const Stats& LastRun() const;

  const Config& config_;
  const Program& program_;
  std::mutex mutex_;
  std::unique_ptr<Device> device_;
  std::optional<Stats> stats_;
  std::vector<int8_t> staging_;  // one tensor in blocks
};

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_PROGRAM_RUNNER_H_

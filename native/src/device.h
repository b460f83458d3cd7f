// What a program runs on: memory that it addresses from 0, and a way to start it.
//
// The simulator is one, a board (native/driver) the other: that has memory of its own and relocates
// dram_base. A device belongs to one program; calls must not overlap.
#ifndef LCP_TVM_DEVICE_H_
#define LCP_TVM_DEVICE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "config.h"
#include "simulator.h"

namespace lcp_tvm::vta {

class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  /*! \brief Copy to and from memory; the caller keeps [address, address + size) inside it. */
  virtual void Write(uint64_t address, const void* data, uint64_t size) = 0;
  virtual void Read(uint64_t address, void* data, uint64_t size) const = 0;
  /*! \brief Run `count` instructions at `address` to their FINISH. */
  virtual Stats Run(uint64_t address, uint64_t count, const std::vector<LayerRange>& layers) = 0;
};

/*! \brief The simulator in pynq mode, hazards as errors, with `size` zeroed bytes of memory. */
std::unique_ptr<Device> MakeSimulatedDevice(const Config& config, uint64_t size);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_DEVICE_H_

#include <cstdlib>
#include <cstring>

#include "device.h"
#include "fail.h"

namespace lcp_tvm::vta {

namespace {

class SimulatedDevice final : public Device {
 public:
  SimulatedDevice(const Config& config, uint64_t size)
      : config_(config), dram_(static_cast<uint8_t*>(std::calloc(size, 1))), size_(size) {
    if (dram_ == nullptr) {
      FailProgram(std::to_string(size) + " bytes of DRAM cannot be had");
    }
    options_.machine.hazard_distance = config.hazard_distance;
  }

  void Write(uint64_t address, const void* data, uint64_t size) override {
    std::memcpy(dram_.get() + address, data, size);
  }

  void Read(uint64_t address, void* data, uint64_t size) const override {
    std::memcpy(data, dram_.get() + address, size);
  }

  Stats Run(uint64_t address, uint64_t count, const std::vector<LayerRange>& layers) override {
    options_.layers = layers;
    return Simulate(config_, options_, dram_.get(), size_, address, count);
  }

 private:
  const Config config_;
  SimOptions options_;
  // calloc, so that DRAM which no one touches costs no memory.
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  const std::unique_ptr<uint8_t, Free> dram_;
  const uint64_t size_;
};

}  // namespace

std::unique_ptr<Device> MakeSimulatedDevice(const Config& config, uint64_t size) {
  return std::make_unique<SimulatedDevice>(config, size);
}

}  // namespace lcp_tvm::vta

#include <cstring>

#include "device.h"

namespace lcp_tvm::vta {

namespace {

class SimulatedDevice final : public Device {
 public:
  SimulatedDevice(const Config& config, uint64_t size) : config_(config), dram_(size) {
    options_.machine.hazard_distance = config.hazard_distance;
  }

  void Write(uint64_t address, const void* data, uint64_t size) override {
    std::memcpy(dram_.data() + address, data, size);
  }

  void Read(uint64_t address, void* data, uint64_t size) const override {
    std::memcpy(data, dram_.data() + address, size);
  }

  Stats Run(uint64_t address, uint64_t count, const std::vector<LayerRange>& layers) override {
    options_.layers = layers;
    return Simulate(config_, options_, dram_.data(), dram_.size(), address, count);
  }

 private:
  const Config config_;
  SimOptions options_;
  std::vector<uint8_t> dram_;
};

}  // namespace

std::unique_ptr<Device> MakeSimulatedDevice(const Config& config, uint64_t size) {
  return std::make_unique<SimulatedDevice>(config, size);
}

}  // namespace lcp_tvm::vta

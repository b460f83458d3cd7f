// Simulate: decode a stream, run its queues, execute it, count.
#ifndef LCP_TVM_SIMULATOR_H_
#define LCP_TVM_SIMULATOR_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "machine.h"
#include "stream.h"

namespace lcp_tvm::vta {

/*! \brief A layer: instructions [first, first + count). */
struct LayerRange {
  uint64_t first;
  uint64_t count;
};

struct SimOptions {
  Machine::Options machine;
  std::vector<LayerRange> layers;
};

/*! \brief Sums over a range of instructions. */
struct Counters {
  double cycles = 0;  // total, or for a layer from the end of the one before to its own
  std::array<double, kNumUnits> units{};   // busy cycles
  std::array<uint64_t, 5> instructions{};  // by opcode
  uint64_t gemm_uops = 0;
  uint64_t alu_uops = 0;
  std::array<uint64_t, kNumMemories> bytes{};
  std::array<uint64_t, kNumMemories> rows{};
};

struct Stats {
  Counters total;
  double ms = 0;  // at the config's clock, with the launch
  std::vector<Counters> layers;
};

/*! \brief Read docs/architecture.md's options; wrong ones are [vta-config] errors. */
SimOptions ParseOptions(std::string_view json, const Config& config);

/*!
 * \brief Execute `count` instructions at byte address `address`; DRAM changes in place.
 * \throws [vta-sim] for what the hardware would get wrong; DRAM then holds what ran before.
 */
Stats Simulate(const Config& config, const SimOptions& options, uint8_t* dram, uint64_t dram_size,
               uint64_t address, uint64_t count);

/*! \brief The statistics as docs/architecture.md's JSON. */
std::string StatsJson(const Stats& stats);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_SIMULATOR_H_

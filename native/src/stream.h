// An instruction stream, decoded and checked for what can be seen without running it.
//
// Invariants of a Stream: every opcode, memory type and ALU operation exists in its mode; FINISH is
// the last instruction and the only one; the first compute instruction pops nothing (vta.md rule
// 9); micro-op ranges lie inside the micro-op buffer.
#ifndef LCP_TVM_STREAM_H_
#define LCP_TVM_STREAM_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "config.h"
#include "lcp_tvm/isa.h"

namespace lcp_tvm::vta {

enum class Mode { kPynq, kChisel };

constexpr int kNumUnits = 3;
enum Unit : uint8_t { kLoad = 0, kCompute = 1, kStore = 2 };
extern const char* const kUnitNames[kNumUnits];

/*! \brief What an instruction costs and moves; no bytes for padding. */
struct Work {
  double cycles = 0;
  uint64_t gemm_uops = 0;
  uint64_t alu_uops = 0;
  uint64_t bytes = 0;  // through the memory that the instruction names
  uint64_t rows = 0;
};

struct Step {
  isa::Instruction insn;
  Unit unit;
  uint32_t number;  // 1-based place in its unit's order
  Work work;
  bool pop_prev, pop_next, push_prev, push_next;  // as its unit honours them
};

struct Stream {
  std::vector<Step> steps;
  std::array<std::vector<uint32_t>, kNumUnits> by_unit;  // indices into steps, in order

  /*! \brief "instruction 12 (LOAD INP ...)". */
  std::string Name(size_t index) const;
  /*! \brief Name of the `number`-th instruction of a unit. */
  std::string NameOf(Unit unit, uint32_t number) const;
};

/*!
 * \brief Decode `count` instructions at byte address `address` of `dram`.
 * \throws [vta-sim] naming the instruction that breaks an invariant above.
 */
Stream DecodeStream(const Config& config, Mode mode, const uint8_t* dram, uint64_t dram_size,
                    uint64_t address, uint64_t count);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_STREAM_H_

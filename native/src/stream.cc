#include "stream.h"

#include "fail.h"

namespace lcp_tvm::vta {

const char* const kUnitNames[kNumUnits] = {"load", "compute", "store"};

namespace {

using isa::AluOp;
using isa::Instruction;
using isa::Memory;
using isa::Opcode;

// vta.md, "Time": fitted on measured convolutions of a PYNQ.
constexpr double kGemmCycles = 1.0;
constexpr double kAluCycles = 2.0;
constexpr double kBytesPerCycle = 8.2;
constexpr double kWgtBytesPerCycle = 3.74;
constexpr double kRowCycles = 43.5;
constexpr double kInsnCycles = 91.5;

// 10 s of GEMM at 100 MHz, 275 G multiply-accumulates; the host's wait for a program is shorter.
constexpr uint64_t kMaxUops = uint64_t{1} << 30;

Unit UnitOf(const Instruction& insn) {
  if (insn.opcode == Opcode::kStore) {
    return kStore;
  }
  if (insn.opcode == Opcode::kLoad &&
      (insn.memory_type == Memory::kInp || insn.memory_type == Memory::kWgt)) {
    return kLoad;
  }
  return kCompute;
}

/*! \brief Why the hardware cannot execute `insn`; empty when it can. */
std::string Illegal(const Config& config, Mode mode, const Instruction& insn) {
  switch (insn.opcode) {
    case Opcode::kLoad:
      if (insn.memory_type == Memory::kOut || insn.memory_type > Memory::kAcc8Bit) {
        return "loads memory type " + std::to_string(static_cast<int>(insn.memory_type)) +
               ", which does not exist; loads are of UOP, WGT, INP and ACC";
      }
      return "";
    case Opcode::kStore:
      return insn.memory_type == Memory::kOut ? "" : "stores a memory other than OUT";
    case Opcode::kAlu:
      if (insn.alu_opcode > AluOp::kMul) {
        return "uses ALU operation " + std::to_string(static_cast<int>(insn.alu_opcode)) +
               ", which does not exist; the hardware leaves the accumulator and writes garbage to "
               "the output buffer";
      }
      if (insn.alu_opcode == AluOp::kMul && mode == Mode::kPynq) {
        return "uses MUL, which this design does not have; it leaves the accumulator and writes "
               "garbage to the output buffer";
      }
      [[fallthrough]];
    case Opcode::kGemm:
      if (insn.uop_end > config.uop_depth) {
        return "uses micro-ops up to " + std::to_string(insn.uop_end) + ", the buffer has " +
               std::to_string(config.uop_depth);
      }
      return "";
    case Opcode::kFinish:
      return "";
  }
  return "has opcode " + std::to_string(static_cast<int>(insn.opcode)) + ", which does not exist";
}

/*! \brief Micro-ops that a GEMM or ALU issues. */
uint64_t Issues(const Instruction& insn) {
  if (insn.uop_end <= insn.uop_bgn) {
    return 0;
  }
  return uint64_t{insn.iter_out} * insn.iter_in * (insn.uop_end - insn.uop_bgn);
}

Work WorkOf(const Config& config, Mode mode, const Instruction& insn) {
  Work work;
  work.cycles = kInsnCycles;
  if (insn.opcode == Opcode::kGemm) {
    work.gemm_uops = Issues(insn);
    work.cycles += kGemmCycles * static_cast<double>(work.gemm_uops);
  } else if (insn.opcode == Opcode::kAlu) {
    work.alu_uops = Issues(insn);
    work.cycles += kAluCycles * static_cast<double>(work.alu_uops);
  } else if (insn.opcode == Opcode::kLoad || insn.opcode == Opcode::kStore) {
    if (insn.memory_type == Memory::kAcc8Bit && mode == Mode::kPynq) {
      return work;  // silently ignored (rule 4)
    }
    // UOP loads take one row whatever y_size says (rule 5).
    const uint64_t rows = insn.memory_type == Memory::kUop ? 1 : insn.y_size;
    work.rows = insn.x_size == 0 ? 0 : rows;
    work.bytes = work.rows * insn.x_size * config.ElementBytes(static_cast<int>(insn.memory_type));
    const double rate = insn.memory_type == Memory::kWgt ? kWgtBytesPerCycle : kBytesPerCycle;
    work.cycles += kRowCycles * static_cast<double>(work.rows) +
                   static_cast<double>(work.bytes) / (rate * config.bus_scale);
  }
  return work;
}

}  // namespace

std::string Stream::Name(size_t index) const {
  return "instruction " + std::to_string(index) + " (" + isa::Disassemble(steps[index].insn) + ")";
}

std::string Stream::NameOf(Unit unit, uint32_t number) const {
  return Name(by_unit[unit][number - 1]);
}

Stream DecodeStream(const Config& config, Mode mode, const uint8_t* dram, uint64_t dram_size,
                    uint64_t address, uint64_t count) {
  if (address % kInsnBytes != 0) {
    FailSim("the stream starts at address " + std::to_string(address) +
            ", which is not a multiple of 16");
  }
  if (address > dram_size || count > (dram_size - address) / kInsnBytes) {
    FailSim("the stream of " + std::to_string(count) + " instructions at address " +
            std::to_string(address) + " does not fit into " + std::to_string(dram_size) +
            " bytes of DRAM");
  }
  if (count == 0) {
    FailSim("the stream is empty; its last instruction must be FINISH");
  }
  Stream stream;
  stream.steps.reserve(count);
  uint64_t uops = 0;
  for (uint64_t i = 0; i < count; ++i) {
    Step step;
    step.insn = isa::Decode(dram + address + i * kInsnBytes, config.widths);
    const Instruction& insn = step.insn;
    step.unit = UnitOf(insn);
    step.number = static_cast<uint32_t>(stream.by_unit[step.unit].size() + 1);
    // Load has no stage before it and store none after it (rule 8).
    step.pop_prev = insn.pop_prev && step.unit != kLoad;
    step.push_prev = insn.push_prev && step.unit != kLoad;
    step.pop_next = insn.pop_next && step.unit != kStore;
    step.push_next = insn.push_next && step.unit != kStore;
    stream.steps.push_back(step);
    stream.by_unit[step.unit].push_back(static_cast<uint32_t>(i));
    const std::string reason = Illegal(config, mode, insn);
    if (!reason.empty()) {
      FailSim(stream.Name(i) + " " + reason);
    }
    stream.steps.back().work = WorkOf(config, mode, insn);
    uops += stream.steps.back().work.gemm_uops + stream.steps.back().work.alu_uops;
    if (uops > kMaxUops) {
      FailSim(stream.Name(i) + " brings the stream to " + std::to_string(uops) +
              " micro-ops, more than the " + std::to_string(kMaxUops) + " that any host waits for");
    }
    const bool last = i + 1 == count;
    if (insn.opcode == Opcode::kFinish && !last) {
      FailSim(stream.Name(i) + " is followed by " + std::to_string(count - i - 1) +
              " more instructions; FINISH must be the last");
    }
    if (last && insn.opcode != Opcode::kFinish) {
      FailSim(stream.Name(i) + " is the last instruction; it must be FINISH");
    }
  }
  const uint32_t first = stream.by_unit[kCompute].front();
  if (stream.steps[first].pop_prev || stream.steps[first].pop_next) {
    FailSim(stream.Name(first) +
            " is the first compute instruction and waits for a token; the host would see the "
            "previous run's done flag, so begin with one that pops nothing");
  }
  return stream;
}

}  // namespace lcp_tvm::vta

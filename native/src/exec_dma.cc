// LOAD and STORE.
#include <array>
#include <cstdio>
#include <cstring>

#include "machine.h"

namespace lcp_tvm::vta {

using isa::Instruction;
using isa::Memory;

namespace {

std::string Hex(uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
  return text.data();
}

uint32_t LittleEndian32(const uint8_t* bytes) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

void Machine::CheckDramBounds(int memory, uint64_t rows) const {
  const Instruction& insn = step_->insn;
  if (rows == 0 || insn.x_size == 0) {
    return;
  }
  const uint64_t bytes = config_.ElementBytes(memory);
  const uint64_t end = (insn.dram_base + (rows - 1) * insn.x_stride + insn.x_size) * bytes;
  if (end > dram_size_) {
    Fail("reaches DRAM bytes [" + Hex(insn.dram_base * bytes) + ", " + Hex(end) +
         "), the program has " + Hex(dram_size_));
  }
}

void Machine::CheckSramBounds(int memory, uint64_t count) const {
  const Instruction& insn = step_->insn;
  const uint64_t depth = config_.Depth(memory);
  if (count != 0 && insn.sram_base + count > depth) {
    Fail("reaches " + std::string(kMemoryNames[memory]) + " elements [" +
         std::to_string(insn.sram_base) + ", " + std::to_string(insn.sram_base + count) +
         "), the buffer has " + std::to_string(depth));
  }
}

void Machine::CheckDramRace(const DramRace& race, const char* verb) const {
  if (race.found) {
    Fail("race: " + std::string(verb) + " DRAM bytes [" + Hex(race.begin) + ", " + Hex(race.end) +
         ") that " + stream_.NameOf(race.other, race.number) +
         (race.other == kStore ? " writes" : " reads") + "; no token orders the two");
  }
}

void Machine::WriteShared(SramTrack* track, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (track->read[i] > known_[track->reader]) {
      FailWrite(*track, static_cast<uint32_t>(i));
    }
    track->written[i] = step_->number;
  }
}

// Write `count` elements from DRAM, or zeros when `source` is null.
void Machine::Fill(int memory, int64_t index, int64_t count, const uint8_t* source) {
  const int64_t block = config_.block, lanes = config_.lanes;
  switch (static_cast<Memory>(memory)) {
    case Memory::kInp: {
      WriteShared(&inp_track_, index, index + count);
      int16_t* to = &inp_[index * lanes];
      for (int64_t i = 0; i < count * lanes; ++i) {
        to[i] = source == nullptr ? int16_t{0} : static_cast<int8_t>(source[i]);
      }
      return;
    }
    case Memory::kWgt: {
      WriteShared(&wgt_track_, index, index + count);
      for (int64_t e = 0; e < count; ++e) {
        int16_t* to = &wgt_[(index + e) * block * block];
        const uint8_t* from = source + e * block * block;
        for (int64_t o = 0; o < block; ++o) {
          for (int64_t i = 0; i < block; ++i) {
            to[(i / 2) * 2 * block + 2 * o + i % 2] = static_cast<int8_t>(from[o * block + i]);
          }
        }
      }
      return;
    }
    case Memory::kUop:
      for (int64_t e = 0; e < count; ++e) {
        uop_[index + e] =
            isa::DecodeMicroOp(LittleEndian32(source + e * kUopBytes), config_.widths);
        uop_loaded_[index + e] = 1;
      }
      return;
    case Memory::kAcc:
    case Memory::kAcc8Bit:
      for (int64_t e = index; e < index + count; ++e) {
        acc_issue_[e] = 0;
        acc_loaded_[e] = step_->number;
      }
      if (source == nullptr) {
        std::memset(&acc_[index * lanes], 0, count * lanes * sizeof(int32_t));
      } else if (static_cast<Memory>(memory) == Memory::kAcc) {
        std::memcpy(&acc_[index * lanes], source, count * lanes * sizeof(int32_t));
      } else {
        for (int64_t i = 0; i < count * lanes; ++i) {
          acc_[index * lanes + i] = static_cast<int8_t>(source[i]);
        }
      }
      return;
    case Memory::kOut:
      return;
  }
}

void Machine::ExecuteLoad() {
  const Instruction& insn = step_->insn;
  const int memory = static_cast<int>(insn.memory_type);
  if (insn.memory_type == Memory::kAcc8Bit && options_.mode == Mode::kPynq) {
    return;  // silently ignored (rule 4)
  }
  // UOP loads know one row and no padding, WGT loads no padding (rule 5).
  const bool padded = insn.memory_type != Memory::kUop && insn.memory_type != Memory::kWgt;
  const uint64_t rows = insn.memory_type == Memory::kUop ? 1 : insn.y_size;
  const int64_t left = padded ? insn.x_pad_0 : 0;
  const int64_t right = padded ? insn.x_pad_1 : 0;
  const int64_t top = padded ? insn.y_pad_0 : 0;
  const int64_t bottom = padded ? insn.y_pad_1 : 0;
  const int64_t width = left + insn.x_size + right;
  CheckSramBounds(memory, width * (top + rows + bottom));
  CheckDramBounds(memory, rows);

  const uint64_t bytes = config_.ElementBytes(memory);
  int64_t index = insn.sram_base;
  const auto zeros = [&](int64_t count) {
    if (count != 0) {
      Fill(memory, index, count, nullptr);
      index += count;
    }
  };
  zeros(top * width);
  for (uint64_t y = 0; y < rows; ++y) {
    zeros(left);
    if (insn.x_size != 0) {
      const uint64_t begin = (insn.dram_base + y * insn.x_stride) * bytes;
      const uint64_t end = begin + insn.x_size * bytes;
      CheckDramRace(dram_track_.Read(begin, end, step_->unit, step_->number, known_), "reads");
      Fill(memory, index, insn.x_size, dram_ + begin);
      index += insn.x_size;
    }
    zeros(right);
  }
  zeros(bottom * width);
}

// A store may only see what a GEMM or ALU has left in the output buffer for good.
void Machine::ReadOutput(int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t written = out_track_.written[i];
    if (written > known_[kCompute]) {
      FailRead(out_track_, static_cast<uint32_t>(i));
    }
    out_track_.read[i] = step_->number;
    if (acc_loaded_[i] > written && acc_loaded_[i] <= known_[kCompute]) {
      Fail("stores stale data: " + stream_.NameOf(kCompute, acc_loaded_[i]) +
           " has loaded the accumulator of OUT element " + std::to_string(i) +
           ", which does not write the output buffer; pass it through a GEMM or ALU first");
    }
    if (out_from_reset_[i] != 0) {
      Fail("stores stale data: OUT element " + std::to_string(i) + " was written last by " +
           stream_.NameOf(kCompute, written) +
           ", whose reset leaves garbage there; a GEMM or ALU must come in between");
    }
  }
}

void Machine::ExecuteStore() {
  const Instruction& insn = step_->insn;
  const int memory = static_cast<int>(Memory::kOut);
  const uint64_t rows = insn.x_size == 0 ? 0 : insn.y_size;
  CheckSramBounds(memory, uint64_t{insn.x_size} * rows);
  CheckDramBounds(memory, rows);
  const uint64_t bytes = config_.ElementBytes(memory);
  for (uint64_t y = 0; y < rows; ++y) {
    const int64_t index = insn.sram_base + static_cast<int64_t>(y) * insn.x_size;
    const uint64_t begin = (insn.dram_base + y * insn.x_stride) * bytes;
    const uint64_t end = begin + insn.x_size * bytes;
    ReadOutput(index, index + insn.x_size);
    if (begin < code_end_ && end > code_begin_) {
      Fail("writes DRAM bytes [" + Hex(begin) + ", " + Hex(end) +
           "), where the instructions are that fetch is reading");
    }
    CheckDramRace(dram_track_.Write(begin, end, step_->number, known_), "writes");
    std::memcpy(dram_ + begin, &out_[index * config_.lanes], end - begin);
  }
}

}  // namespace lcp_tvm::vta

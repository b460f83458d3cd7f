#include "board_device.h"

#include <cstring>

#include "lcp_tvm/isa.h"
#include "src/fail.h"
#include "src/schedule.h"
#include "src/stream.h"

namespace lcp_tvm::driver {

namespace {

namespace isa = vta::isa;

constexpr uint64_t kMaxPhysical = uint64_t{1} << 32;

class BoardDevice final : public vta::Device {
 public:
  BoardDevice(const vta::Config& config, uint64_t size, std::unique_ptr<Contiguous> memory,
              std::shared_ptr<Board> board)
      : config_(config), size_(size), board_(std::move(board)), memory_(std::move(memory)) {
    // Flushed too: no line of zeros may reach memory after the accelerator has written there.
    std::memset(memory_->data(), 0, size);
    memory_->Flush(0, size);
  }

  void Write(uint64_t address, const void* data, uint64_t size) override {
    std::memcpy(memory_->data() + address, data, size);
    memory_->Flush(address, size);
  }

  void Read(uint64_t address, void* data, uint64_t size) const override {
    memory_->Invalidate(address, size);
    std::memcpy(data, memory_->data() + address, size);
  }

  vta::Stats Run(uint64_t address, uint64_t count,
                 const std::vector<vta::LayerRange>& layers) override {
    if (!relocated_) {
      Relocate(address, count);
      relocated_ = true;
    }
    vta::Stats stats;
    stats.ms = board_->accelerator.Run(memory_->physical() + address, count);
    stats.total.cycles = stats.ms * 1e-3 * config_.clock_hz;
    stats.layers.resize(layers.size());  // a board does not count
    return stats;
  }

 private:
  /*!
   * \brief A program is for address 0: move it to where it is.
   *
   * What could hang the accelerator or reach other memory is refused before: the hardware checks
   * nothing.
   */
  void Relocate(uint64_t address, uint64_t count) {
    uint8_t* dram = memory_->data();
    const vta::Stream stream =
        vta::DecodeStream(config_, vta::Mode::kPynq, dram, size_, address, count);
    vta::RunQueues(stream);
    for (size_t i = 0; i < stream.steps.size(); ++i) {
      const isa::Instruction& insn = stream.steps[i].insn;
      if (insn.opcode != isa::Opcode::kLoad && insn.opcode != isa::Opcode::kStore) {
        continue;
      }
      const uint64_t element = config_.ElementBytes(static_cast<int>(insn.memory_type));
      const uint64_t rows = insn.memory_type == isa::Memory::kUop ? 1 : insn.y_size;
      const uint64_t elements =
          rows == 0 || insn.x_size == 0 ? 0 : (rows - 1) * insn.x_stride + insn.x_size;
      if ((insn.dram_base + elements) * element > size_) {
        vta::FailSim(stream.Name(i) + " leaves the program's memory of " + std::to_string(size_) +
                     " bytes");
      }
      isa::SetDramBase(dram + address + i * vta::kInsnBytes,
                       static_cast<uint32_t>(insn.dram_base + memory_->physical() / element));
    }
    memory_->Flush(address, count * vta::kInsnBytes);
  }

  const vta::Config config_;
  const uint64_t size_;
  const std::shared_ptr<Board> board_;
  const std::unique_ptr<Contiguous> memory_;
  bool relocated_ = false;
};

}  // namespace

std::unique_ptr<vta::Device> MakeBoardDevice(const vta::Config& config, uint64_t size,
                                             const std::shared_ptr<Board>& board) {
  std::unique_ptr<Contiguous> memory = board->memory->Allocate(size);
  if (memory == nullptr) {
    vta::FailBoard("contiguous memory is exhausted: a program needs " +
                   std::to_string((size >> 10) + 1) + " KiB of " + board->memory->name() + "; " +
                   board->memory->cure());
  }
  const uint64_t largest = static_cast<uint64_t>(config.wgt_bytes);
  if (memory->physical() % largest != 0 || memory->physical() + size > kMaxPhysical) {
    vta::FailBoard(std::string(board->memory->name()) +
                   " gives memory that the accelerator cannot address: it must begin at a "
                   "multiple of " +
                   std::to_string(largest) + " and end below 4 GiB");
  }
  return std::make_unique<BoardDevice>(config, size, std::move(memory), board);
}

}  // namespace lcp_tvm::driver

// The accelerator's memories and the execution of single instructions.
//
// Layouts: an input element is `lanes` int16 (widened int8), BATCH rows of BLOCK; a weight element
// is stored as pairs for multiply-add, [block/2][block][2] int16 with (p, o, s) = wgt[o][2p + s];
// an accumulator element is `lanes` int32; an output element is `lanes` int8, the mirror that only
// GEMM and ALU write.
//
// Checks, all of them errors that name the instruction:
// - every SRAM, DRAM and micro-op index lies inside its memory;
// - nothing is read that nothing has written (the hardware has the last program's data there);
// - accesses of two units to one element are ordered by tokens (`Schedule::known`);
// - a store reads output elements whose last writer was a GEMM or ALU, with no LOAD ACC of that
//   element known in between, and no GEMM reset (vta.md rules 1 and 2);
// - accumulator hazards inside one instruction (or, in kStale, the old value is used).
// A GEMM with reset leaves acc + dot in the output mirror; since no store may see that, it is
// marked and not computed.
#ifndef LCP_TVM_MACHINE_H_
#define LCP_TVM_MACHINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "config.h"
#include "dram_track.h"
#include "schedule.h"
#include "stream.h"

namespace lcp_tvm::vta {

/*! \brief An accumulator read too early: an error, the old value, or (Chisel) the new one. */
enum class Hazard { kError, kStale, kForwarded };

/*! \brief Last accesses, as instruction numbers, to the elements of an SRAM that two units share.
 */
struct SramTrack {
  static constexpr uint32_t kNever = UINT32_MAX;
  SramTrack(int memory, Unit writer, Unit reader, int64_t depth)
      : memory(memory), writer(writer), reader(reader), written(depth, kNever), read(depth, 0) {}
  int memory;
  Unit writer, reader;
  std::vector<uint32_t> written;
  std::vector<uint32_t> read;
};

class Machine {
 public:
  struct Options {
    Mode mode = Mode::kPynq;
    Hazard hazard = Hazard::kError;
    int hazard_distance = 4;
  };

  /*! \brief All references and `dram` must outlive the machine. Instructions lie in
   *         [code_begin, code_end) of DRAM, where a store is an error. */
  Machine(const Config& config, const Options& options, const Stream& stream,
          const Schedule& schedule, uint8_t* dram, uint64_t dram_size, uint64_t code_begin,
          uint64_t code_end);

  /*! \brief Execute one instruction; call in the order of the schedule. */
  void Execute(uint32_t index);

 private:
  // exec_dma.cc
  void ExecuteLoad();
  void ExecuteStore();
  void Fill(int memory, int64_t index, int64_t count, const uint8_t* source);
  void CheckDramBounds(int memory, uint64_t rows) const;
  void CheckSramBounds(int memory, uint64_t count) const;
  void CheckDramRace(const DramRace& race, const char* verb) const;
  void WriteShared(SramTrack* track, int64_t begin, int64_t end);
  void ReadOutput(int64_t begin, int64_t end);
  // exec_gemm.cc
  void ExecuteGemm();
  template <int kBlock, bool kStale>
  void RunGemm();
  void ResetGemm();
  void CheckGemm(uint32_t dst, uint32_t src, uint32_t wgt, uint64_t oldest) const;
  void CheckUops(bool gemm, bool uses_src) const;
  void CheckAccRead(uint32_t element, uint64_t oldest, const char* advice) const;
  // exec_alu.cc
  void ExecuteAlu();
  // machine.cc
  [[noreturn]] void FailRead(const SramTrack& track, uint32_t element) const;
  [[noreturn]] void FailWrite(const SramTrack& track, uint32_t element) const;
  /*! \brief The first issue slot whose results are not readable yet in the current slot. */
  uint64_t OldestPending(uint64_t first) const;
  /*! \brief The element's value before the slots from `oldest` on wrote it (Hazard::kStale). */
  const int32_t* StaleValue(uint32_t element, uint64_t oldest) const;
  void RememberValue(uint32_t element);

  int32_t* Acc(uint32_t element) { return &acc_[size_t{element} * config_.lanes]; }
  const int32_t* Acc(uint32_t element) const { return &acc_[size_t{element} * config_.lanes]; }
  /*! \brief Copy the low bits of an accumulator element to the output buffer. */
  template <int kBlock>
  void MirrorOutput(uint32_t element) {
    const int32_t* acc = Acc(element);
    int8_t* out = &out_[size_t{element} * config_.lanes];
    const int block = kBlock == 0 ? config_.block : kBlock;
    const int lanes = config_.lanes;  // a local: `out` might point to anything
    for (int row = 0; row < lanes; row += block) {
      for (int i = 0; i < block; ++i) {
        out[row + i] = static_cast<int8_t>(acc[row + i] & 0xFF);
      }
    }
    out_from_reset_[element] = 0;
  }
  [[noreturn]] void Fail(const std::string& message) const;

  const Config& config_;
  const Options options_;
  const Stream& stream_;
  const Schedule& schedule_;
  uint8_t* const dram_;
  const uint64_t dram_size_, code_begin_, code_end_;

  // The instruction that is being executed.
  uint32_t index_ = 0;
  const Step* step_ = nullptr;
  Clock known_{};

  std::vector<isa::MicroOp> uop_;
  std::vector<uint8_t> uop_loaded_;
  std::vector<int16_t> inp_;
  std::vector<int16_t> wgt_;
  std::vector<int32_t> acc_;
  std::vector<int8_t> out_;
  SramTrack inp_track_, wgt_track_, out_track_;
  DramTrack dram_track_;

  static constexpr uint64_t kNeverIssued = UINT64_MAX;
  uint64_t issue_ = 1 << 16;          // micro-ops issued so far, above any hazard distance
  std::vector<uint64_t> acc_issue_;   // the one that wrote an element last; 0 for LOAD ACC
  std::vector<uint32_t> acc_loaded_;  // compute instruction number of the last LOAD ACC
  std::vector<uint8_t> out_from_reset_;
  struct Overwritten {
    uint64_t issue = 0;
    uint32_t element = 0;
  };
  std::vector<Overwritten> history_;  // ring of hazard_distance entries, by issue
  std::vector<int32_t> history_values_;
  std::vector<int32_t> scratch_;  // one element
};

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_MACHINE_H_

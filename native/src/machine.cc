#include "machine.h"

#include <algorithm>
#include <cstring>

#include "fail.h"

namespace lcp_tvm::vta {

Machine::Machine(const Config& config, const Options& options, const Stream& stream,
                 const Schedule& schedule, uint8_t* dram, uint64_t dram_size, uint64_t code_begin,
                 uint64_t code_end)
    : config_(config),
      options_(options),
      stream_(stream),
      schedule_(schedule),
      dram_(dram),
      dram_size_(dram_size),
      code_begin_(code_begin),
      code_end_(code_end),
      uop_(config.uop_depth),
      uop_loaded_(config.uop_depth, 0),
      inp_(config.inp_depth * config.lanes),
      wgt_(config.wgt_depth * config.block * config.block),
      acc_(config.acc_depth * config.lanes),
      out_(config.out_depth * config.lanes),
      inp_track_(static_cast<int>(isa::Memory::kInp), kLoad, kCompute, config.inp_depth),
      wgt_track_(static_cast<int>(isa::Memory::kWgt), kLoad, kCompute, config.wgt_depth),
      out_track_(static_cast<int>(isa::Memory::kOut), kCompute, kStore, config.out_depth),
      dram_track_(dram_size, config.inp_bytes),
      acc_issue_(config.acc_depth, kNeverIssued),
      acc_loaded_(config.acc_depth, 0),
      out_from_reset_(config.out_depth, 0),
      history_(std::max(options.hazard_distance, 1)),
      history_values_(history_.size() * config.lanes),
      scratch_(config.lanes) {}

void Machine::Execute(uint32_t index) {
  index_ = index;
  step_ = &stream_.steps[index];
  known_ = schedule_.slots[index].known;
  switch (step_->insn.opcode) {
    case isa::Opcode::kLoad:
      return ExecuteLoad();
    case isa::Opcode::kStore:
      return ExecuteStore();
    case isa::Opcode::kGemm:
      return ExecuteGemm();
    case isa::Opcode::kAlu:
      return ExecuteAlu();
    case isa::Opcode::kFinish:
      return;
  }
}

void Machine::Fail(const std::string& message) const {
  FailSim(stream_.Name(index_) + ": " + message);
}

namespace {

/*! \brief "INP elements [4, 20)": the run of elements around `element` with the same last access.
 */
std::string Range(const SramTrack& track, const std::vector<uint32_t>& last, uint32_t element) {
  size_t begin = element, end = element + 1;
  while (begin > 0 && last[begin - 1] == last[element]) {
    --begin;
  }
  while (end < last.size() && last[end] == last[element]) {
    ++end;
  }
  return std::string(kMemoryNames[track.memory]) + " elements [" + std::to_string(begin) + ", " +
         std::to_string(end) + ")";
}

}  // namespace

void Machine::FailRead(const SramTrack& track, uint32_t element) const {
  const std::string name =
      std::string(kMemoryNames[track.memory]) + " element " + std::to_string(element);
  if (track.written[element] == SramTrack::kNever) {
    if (track.memory == static_cast<int>(isa::Memory::kOut)) {
      Fail("stores stale data: " + name +
           " was never written by a GEMM or ALU (LOAD ACC does not write the output buffer)");
    }
    Fail("reads " + name + ", which no load has written");
  }
  Fail("race: reads " + name + " while " + stream_.NameOf(track.writer, track.written[element]) +
       " writes " + Range(track, track.written, element) + "; no token orders the two");
}

void Machine::FailWrite(const SramTrack& track, uint32_t element) const {
  Fail("race: writes " + std::string(kMemoryNames[track.memory]) + " element " +
       std::to_string(element) + " while " + stream_.NameOf(track.reader, track.read[element]) +
       " reads " + Range(track, track.read, element) + "; no token orders the two");
}

uint64_t Machine::OldestPending(uint64_t first) const {
  return std::max(first, issue_ + 1 - static_cast<uint64_t>(options_.hazard_distance));
}

const int32_t* Machine::StaleValue(uint32_t element, uint64_t oldest) const {
  for (uint64_t issue = oldest; issue < issue_; ++issue) {
    const size_t place = issue % history_.size();
    if (history_[place].issue == issue && history_[place].element == element) {
      return &history_values_[place * config_.lanes];
    }
  }
  return Acc(element);
}

void Machine::RememberValue(uint32_t element) {
  const size_t place = issue_ % history_.size();
  history_[place] = {issue_, element};
  std::copy_n(Acc(element), config_.lanes, &history_values_[place * config_.lanes]);
}

}  // namespace lcp_tvm::vta

// GEMM, and what it shares with ALU: the loop nest and the micro-op bounds.
#include <algorithm>
#include <cstring>

#include "dot.h"
#include "issue_loop.h"
#include "machine.h"

namespace lcp_tvm::vta {

using isa::Instruction;
using isa::MicroOp;

// All factors are unsigned, so the last iteration has the largest index of each micro-op.
void Machine::CheckUops(bool gemm, bool uses_src) const {
  const Instruction& insn = step_->insn;
  const uint64_t out = insn.iter_out - 1, in = insn.iter_in - 1;
  const uint64_t dst = out * insn.dst_factor_out + in * insn.dst_factor_in;
  const uint64_t src = out * insn.src_factor_out + in * insn.src_factor_in;
  const uint64_t wgt = gemm ? out * insn.wgt_factor_out + in * insn.wgt_factor_in : 0;
  const auto check = [&](uint32_t place, const char* name, uint64_t index, int64_t depth) {
    if (index >= static_cast<uint64_t>(depth)) {
      Fail("micro-op " + std::to_string(place) + " reaches " + name + " element " +
           std::to_string(index) + ", the buffer has " + std::to_string(depth));
    }
  };
  for (uint32_t place = insn.uop_bgn; place < insn.uop_end; ++place) {
    if (uop_loaded_[place] == 0) {
      Fail("uses micro-op " + std::to_string(place) + ", which no load has written");
    }
    const MicroOp& uop = uop_[place];
    check(place, "ACC", uop.dst + dst, config_.acc_depth);
    if (gemm) {
      check(place, "INP", uop.src + src, config_.inp_depth);
      check(place, "WGT", uop.wgt + wgt, config_.wgt_depth);
    } else if (uses_src) {
      check(place, "ACC", uop.src + src, config_.acc_depth);
    }
  }
}

// `oldest` is the first issue slot that must not have written the element.
void Machine::CheckAccRead(uint32_t element, uint64_t oldest, const char* advice) const {
  if (acc_issue_[element] == kNeverIssued) {
    Fail("reads ACC element " + std::to_string(element) + ", which nothing has written");
  }
  if (acc_issue_[element] >= oldest) {
    Fail("accumulator hazard: reads ACC element " + std::to_string(element) + ", written " +
         std::to_string(issue_ - acc_issue_[element]) +
         " issue slot(s) before by the same instruction; " + advice);
  }
}

template <int kBlock, bool kStale>
void Machine::RunGemm() {
  const uint32_t load_known = known_[kLoad], store_known = known_[kStore];
  const uint32_t number = step_->number;
  uint32_t* const inp_read = inp_track_.read.data();
  uint32_t* const wgt_read = wgt_track_.read.data();
  uint32_t* const out_written = out_track_.written.data();
  const uint64_t first = issue_ + 1;
  const size_t lanes = config_.lanes;
  ForEachIssue(step_->insn, uop_.data(), [&](uint32_t dst, uint32_t src, uint32_t wgt) {
    ++issue_;
    const uint64_t oldest = OldestPending(first);
    // One branch for all checks.
    const int wrong = int{inp_track_.written[src] > load_known} |
                      int{wgt_track_.written[wgt] > load_known} |
                      int{out_track_.read[dst] > store_known} |
                      int{acc_issue_[dst] >= (kStale ? kNeverIssued : oldest)};
    if (wrong != 0) {
      CheckGemm(dst, src, wgt, oldest);
    }
    inp_read[src] = number;
    wgt_read[wgt] = number;
    out_written[dst] = number;
    int32_t* acc = Acc(dst);
    if constexpr (kStale) {
      const int32_t* old = StaleValue(dst, oldest);
      RememberValue(dst);
      if (old != acc) {
        std::copy_n(old, lanes, acc);
      }
    }
    const int16_t* inp = &inp_[src * lanes];
    for (size_t row = 0; row < lanes; row += kBlock) {
      Dot<kBlock>(acc + row, inp + row, &wgt_[size_t{wgt} * kBlock * kBlock]);
    }
    acc_issue_[dst] = issue_;
    MirrorOutput<kBlock>(dst);
  });
}

void Machine::CheckGemm(uint32_t dst, uint32_t src, uint32_t wgt, uint64_t oldest) const {
  if (inp_track_.written[src] > known_[kLoad]) {
    FailRead(inp_track_, src);
  }
  if (wgt_track_.written[wgt] > known_[kLoad]) {
    FailRead(wgt_track_, wgt);
  }
  if (out_track_.read[dst] > known_[kStore]) {
    FailWrite(out_track_, dst);
  }
  CheckAccRead(dst, oldest, "the pipeline would use the old value, so keep them further apart");
}

// The accumulators become zero. What the reads return is garbage in the output buffer at most, so
// they are no races; the writes to the output buffer are.
void Machine::ResetGemm() {
  ForEachIssue(step_->insn, uop_.data(), [&](uint32_t dst, uint32_t, uint32_t) {
    if (out_track_.read[dst] > known_[kStore]) {
      FailWrite(out_track_, dst);
    }
    std::memset(Acc(dst), 0, config_.acc_bytes);
    acc_issue_[dst] = 0;
    out_track_.written[dst] = step_->number;
    out_from_reset_[dst] = 1;
  });
}

void Machine::ExecuteGemm() {
  if (step_->work.gemm_uops == 0) {
    return;
  }
  CheckUops(true, true);
  if (step_->insn.reset) {
    return ResetGemm();
  }
  const bool stale = options_.hazard == Hazard::kStale;
  switch (config_.block) {
    case 4:
      return stale ? RunGemm<4, true>() : RunGemm<4, false>();
    case 8:
      return stale ? RunGemm<8, true>() : RunGemm<8, false>();
    case 16:
      return stale ? RunGemm<16, true>() : RunGemm<16, false>();
    case 32:
      return stale ? RunGemm<32, true>() : RunGemm<32, false>();
    default:
      return stale ? RunGemm<64, true>() : RunGemm<64, false>();
  }
}

}  // namespace lcp_tvm::vta

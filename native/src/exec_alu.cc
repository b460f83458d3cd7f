// ALU: vector operations on accumulator elements.
#include <algorithm>

#include "issue_loop.h"
#include "machine.h"

namespace lcp_tvm::vta {

using isa::AluOp;
using isa::Instruction;

namespace {

int32_t Wrap(uint32_t value) { return static_cast<int32_t>(value); }

// The hardware takes five bits as a signed amount; negative shifts left (vta.md rule 3).
int32_t Shift(int32_t value, int32_t amount) {
  const int32_t by = (amount & 31) - ((amount & 16) << 1);
  return by >= 0 ? value >> by : Wrap(static_cast<uint32_t>(value) << -by);
}

template <class Op>
void Apply(int32_t* to, const int32_t* a, const int32_t* b, int lanes, const Op& op) {
  for (int i = 0; i < lanes; ++i) {
    to[i] = op(a[i], b[i]);
  }
}

void Compute(AluOp op, int32_t* to, const int32_t* a, const int32_t* b, int lanes) {
  switch (op) {
    case AluOp::kMin:
      return Apply(to, a, b, lanes, [](int32_t x, int32_t y) { return std::min(x, y); });
    case AluOp::kMax:
      return Apply(to, a, b, lanes, [](int32_t x, int32_t y) { return std::max(x, y); });
    case AluOp::kAdd:
      return Apply(to, a, b, lanes, [](int32_t x, int32_t y) {
        return Wrap(static_cast<uint32_t>(x) + static_cast<uint32_t>(y));
      });
    case AluOp::kShr:
      return Apply(to, a, b, lanes, Shift);
    case AluOp::kMul:
      return Apply(to, a, b, lanes, [](int32_t x, int32_t y) {
        return Wrap(static_cast<uint32_t>(x) * static_cast<uint32_t>(y));
      });
  }
}

}  // namespace

void Machine::ExecuteAlu() {
  if (step_->work.alu_uops == 0) {
    return;
  }
  const Instruction& insn = step_->insn;
  const bool uses_src = !insn.use_imm;
  const bool stale = options_.hazard == Hazard::kStale;
  CheckUops(false, uses_src);
  const std::vector<int32_t> imm(config_.lanes, insn.imm);
  const uint64_t first = issue_ + 1;
  ForEachIssue(insn, uop_.data(), [&](uint32_t dst, uint32_t src, uint32_t) {
    ++issue_;
    // As an error, a destination may not come back at any distance.
    const uint64_t oldest = stale ? OldestPending(first) : first;
    const uint64_t refused = options_.hazard == Hazard::kError ? first : kNeverIssued;
    CheckAccRead(dst, refused, "an ALU instruction may not repeat a destination");
    if (uses_src) {
      CheckAccRead(src, refused, "an ALU instruction may not read its own results");
    }
    if (out_track_.read[dst] > known_[kStore]) {
      FailWrite(out_track_, dst);
    }
    const int32_t* a = stale ? StaleValue(dst, oldest) : Acc(dst);
    const int32_t* b = !uses_src ? imm.data() : stale ? StaleValue(src, oldest) : Acc(src);
    Compute(insn.alu_opcode, scratch_.data(), a, b, config_.lanes);
    if (stale) {
      RememberValue(dst);
    }
    std::copy(scratch_.begin(), scratch_.end(), Acc(dst));
    acc_issue_[dst] = issue_;
    out_track_.written[dst] = step_->number;
    MirrorOutput<0>(dst);
  });
}

}  // namespace lcp_tvm::vta

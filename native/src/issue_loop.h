// The loop nest of GEMM and ALU: outer, inner, micro-ops (vta.md, "Instructions").
#ifndef LCP_TVM_ISSUE_LOOP_H_
#define LCP_TVM_ISSUE_LOOP_H_

#include <cstdint>

#include "lcp_tvm/isa.h"

namespace lcp_tvm::vta {

/*! \brief Call `visit(dst, src, wgt)` for every issue slot, in order. Indices must be checked. */
template <class Visit>
inline void ForEachIssue(const isa::Instruction& insn, const isa::MicroOp* uops,
                         const Visit& visit) {
  for (uint32_t i = 0; i < insn.iter_out; ++i) {
    for (uint32_t j = 0; j < insn.iter_in; ++j) {
      const uint32_t dst = i * insn.dst_factor_out + j * insn.dst_factor_in;
      const uint32_t src = i * insn.src_factor_out + j * insn.src_factor_in;
      const uint32_t wgt = i * insn.wgt_factor_out + j * insn.wgt_factor_in;
      for (uint32_t u = insn.uop_bgn; u < insn.uop_end; ++u) {
        visit(uops[u].dst + dst, uops[u].src + src, uops[u].wgt + wgt);
      }
    }
  }
}

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_ISSUE_LOOP_H_

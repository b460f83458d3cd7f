"""ARMv7's multiply-accumulate, which LLVM does not take from TVM.

TVM lets LLVM fuse products and sums. LLVM then leaves out what adds a rounded product, and the
Cortex-A9 has nothing else: it would multiply, then add.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

LANES = 4

_LANE = """
define linkonce_odr hidden <4 x float> @lcp_vmla_{lane}(<4 x float> %sum, <4 x float> %weight, \
<4 x float> %input) alwaysinline nounwind willreturn memory(none) {{
  %result = call <4 x float> asm "vmla.f32 ${{0:q}}, ${{2:q}}, ${{3:{half}}}[{place}]", \
"=w,0,w,t"(<4 x float> %sum, <4 x float> %weight, <4 x float> %input) \
nounwind willreturn memory(none)
  ret <4 x float> %result
}}
"""

# e and f are the halves of a register; "t" are those whose lanes can be multiplied by.
_CODE = "".join(
    _LANE.format(lane=lane, half="ef"[lane // 2], place=lane % 2) for lane in range(LANES)
)


def with_vmla() -> Any:
    """Define the instruction for the kernel that is written inside the block."""
    return T.attr(tirx.IntImm("int32", 0), "pragma_import_llvm", _CODE)


def vmla(total: Any, weight: Any, inputs: Any, lane: int) -> Any:
    """Return total + weight * inputs[lane], of vectors of four numbers."""
    return tirx.call_extern("float32x4", f"lcp_vmla_{lane}", total, weight, inputs)

"""ARMv7's multiply-accumulate, which LLVM does not take from TVM.

TVM lets LLVM fuse products and sums. LLVM then leaves out what adds a rounded product, and the
Cortex-A9 has nothing else: it would multiply, then add.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

LANES = 4

_FUNCTION = """
define linkonce_odr hidden <4 x float> @{name}(<4 x float> %sum, <4 x float> %weight, \
<4 x float> %input) alwaysinline nounwind willreturn memory(none) {{
  %result = call <4 x float> asm "vmla.f32 ${{0:q}}, ${{2:q}}, {input}", \
"=w,0,w,{registers}"(<4 x float> %sum, <4 x float> %weight, <4 x float> %input) \
nounwind willreturn memory(none)
  ret <4 x float> %result
}}
"""

# e and f are the halves of a register; "t" are those whose lanes can be multiplied by.
_CODE = _FUNCTION.format(name="lcp_vmla", input="${3:q}", registers="w") + "".join(
    _FUNCTION.format(
        name=f"lcp_vmla_{lane}", input=f"${{3:{'ef'[lane // 2]}}}[{lane % 2}]", registers="t"
    )
    for lane in range(LANES)
)


def with_vmla() -> Any:
    """Define the instruction for the kernel that is written inside the block."""
    return T.attr(tirx.IntImm("int32", 0), "pragma_import_llvm", _CODE)


def vmla(total: Any, weight: Any, inputs: Any) -> Any:
    """Return total + weight * inputs, of vectors of four numbers."""
    return tirx.call_extern("float32x4", "lcp_vmla", total, weight, inputs)


def vmla_by_lane(total: Any, weight: Any, inputs: Any, lane: int) -> Any:
    """Return total + weight * inputs[lane], of vectors of four numbers."""
    return tirx.call_extern("float32x4", f"lcp_vmla_{lane}", total, weight, inputs)

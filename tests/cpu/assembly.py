"""The inner loops of compiled kernels, read from their assembly."""

from __future__ import annotations

import re
from dataclasses import dataclass

import tvm
from tvm import tirx

_LABEL = re.compile(r"^(\.LBB[\w.$]+):")
_JUMP = re.compile(r"^(?:b|b\.?\w{2}|cbn?z|tbn?z|j\w+)\s.*?(\.LBB[\w.$]+)$")
_PRODUCT = re.compile(
    r"^(?:fmla|vmla\.f32|vmul\.f32|vfmadd\w+ps|v?mulps)\s"
    r"|^(?:sdot|smull2?|smlal2?|mla|vmull\.s\d+|vmlal\.s\d+|vmla\.i32|v?pmaddwd|vpdpbusd)\s"
)
_LOAD = re.compile(r"^(?:ld[pru]|ld1|vld)|^v?mov\w*ps\s+[^,]*\(")
_STACK = re.compile(r"\bsp\b|\(%rsp\)|\(%rbp\)|\[(?:r11|x29), #")
_VECTOR = re.compile(r"\b[qdv]\d|%[xyz]mm")


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop without another one inside: the instructions of one round."""

    body: tuple[str, ...]

    @property
    def instructions(self) -> int:
        """All of them."""
        return len(self.body)

    @property
    def products(self) -> int:
        """Those that multiply vectors."""
        return sum(bool(_PRODUCT.search(line)) for line in self.body)

    @property
    def loads(self) -> int:
        """Those that read vectors or numbers, but for operands of others."""
        return sum(bool(_LOAD.search(line)) for line in self.body)

    @property
    def stack(self) -> int:
        """Those that touch the stack."""
        return sum(bool(_STACK.search(line)) for line in self.body)

    @property
    def spills(self) -> int:
        """Those that move a vector to or from the stack."""
        return sum(bool(_STACK.search(line) and _VECTOR.search(line)) for line in self.body)

    @property
    def per_product(self) -> float:
        """Instructions for a vector of products."""
        return self.instructions / self.products


def assembly_of(function: tirx.PrimFunc, target: tvm.target.Target) -> str:
    """Return what LLVM makes of a kernel."""
    compiled = tvm.compile(tvm.IRModule({"f": function}), target=target)
    return str(compiled.mod.inspect_source("asm"))


def product_loops(text: str) -> list[Loop]:
    """Return the innermost loops that multiply, in order."""
    labels: dict[str, int] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(lines)
        elif re.match(r"^\t[a-z]", line):
            lines.append(line.split("//")[0].split("@ ")[0].strip())
    jumps = [(labels[jump[1]], end) for end, line in enumerate(lines)
             if (jump := _JUMP.match(line)) and labels.get(jump[1], end + 1) <= end]  # fmt: skip
    inner = [one for one in jumps if not any(_inside(other, one) for other in jumps)]
    loops = [Loop(tuple(lines[begin : end + 1])) for begin, end in inner]
    return [loop for loop in loops if loop.products > 1]


def _inside(loop: tuple[int, int], other: tuple[int, int]) -> bool:
    return loop != other and other[0] <= loop[0] and loop[1] <= other[1]

"""The inner loops of compiled kernels, read from their assembly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tvm
from tvm import tirx

_LABEL = re.compile(r"^(\.LBB[\w.$]+):")
_JUMP = re.compile(r"^(?:b|b\.?\w{2}|cbn?z|j\w+)\s.*?(\.LBB[\w.$]+)$")
_PRODUCT = re.compile(r"^(?:fmla|vmla\.f32|vmul\.f32|vfmadd\w+ps|v?mulps)\s")
_LOAD = re.compile(r"^(?:ld[pru]|ld1|vld)|^v?mov\w*ps\s+[^,]*\(")
_STACK = re.compile(r"\bsp\b|\(%rsp\)|\(%rbp\)")


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop without another one inside.

    Attributes
    ----------
    instructions : of one round.
    products : vectors that are multiplied and added.
    loads : instructions that read vectors or numbers, but for operands of others.
    stack : instructions that touch the stack.
    """

    instructions: int
    products: int
    loads: int
    stack: int

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
    return [loop for loop in _counted(lines, inner) if loop.products > 1]


def _inside(loop: tuple[int, int], other: tuple[int, int]) -> bool:
    return loop != other and other[0] <= loop[0] and loop[1] <= other[1]


def _counted(lines: list[str], loops: list[tuple[int, int]]) -> Iterator[Loop]:
    for begin, end in loops:
        body = lines[begin : end + 1]
        counts = [sum(bool(kind.search(line)) for line in body)
                  for kind in (_PRODUCT, _LOAD, _STACK)]  # fmt: skip
        yield Loop(len(body), *counts)

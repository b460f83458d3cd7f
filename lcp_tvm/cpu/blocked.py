"""How maps lie in memory while CPU kernels work on them: channels in blocks of a vector's width.

    NCHW  ->  [N, ceil(C / V), top + H + bottom, left + W + right, V]

The halo is zero, and as wide as the widest padding of those who read the map, so that no kernel
asks whether a pixel is there. Lanes after the last channel hold any finite number.

Quantised maps have a byte per number: int8 itself, or where products need one operand without a
sign (x86) uint8, which is the number plus 128.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Dtype = Literal["float32", "int8", "uint8"]


@dataclass(frozen=True, slots=True)
class Halo:
    """Rows and columns of zeros around a map."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __or__(self, other: Halo) -> Halo:
        """Return the halo that is wide enough for both."""
        return Halo(
            max(self.top, other.top),
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, slots=True)
class Blocked:
    """The layout of a map.

    Attributes
    ----------
    batch, channels, height, width : of the NCHW map that it stands for.
    lanes : V, channels of a block; 1 is NCHW itself with a halo.
    dtype : of the numbers in memory.
    """

    batch: int
    channels: int
    height: int
    width: int
    lanes: int
    halo: Halo = Halo()
    dtype: Dtype = "float32"

    @property
    def zero(self) -> int:
        """What stands for the number zero."""
        return zero_of(self.dtype)

    @property
    def blocks(self) -> int:
        """Blocks of channels."""
        return -(-self.channels // self.lanes)

    @property
    def rows(self) -> int:
        """Rows with those of the halo."""
        return self.halo.top + self.height + self.halo.bottom

    @property
    def columns(self) -> int:
        """Columns with those of the halo."""
        return self.halo.left + self.width + self.halo.right

    def cropped(self, top: int, left: int, height: int, width: int) -> Blocked:
        """Return the layout of a part of the map in the same memory: the rest is its halo."""
        below, right = self.height - top - height, self.width - left - width
        halo = self.halo
        around = Halo(halo.top + top, halo.left + left, halo.bottom + below, halo.right + right)
        return replace(self, height=height, width=width, halo=around)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes of the buffer."""
        return (self.batch, self.blocks, self.rows, self.columns, self.lanes)


def zero_of(dtype: Dtype) -> int:
    """Return what stands for the number zero."""
    return 128 if dtype == "uint8" else 0

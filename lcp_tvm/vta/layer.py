"""What one VTA layer computes: the facts that tiling and emission need, free of Relax."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from lcp_tvm.vta.config import VtaConfig


class Weights(Enum):
    """How a convolution's weights relate its input to its output channels.

    DENSE      every input block of a group meets every output block of it.
    BLOCKWISE  every block meets the one with its own number: depthwise, groups within a block.
    UNIFORM    the same, with one diagonal ``m * I`` for all: sums and identities.
    """

    DENSE = "dense"
    BLOCKWISE = "blockwise"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Slope:
    """``(q * factor + rounding) >> shift``: what leaky ReLU makes of negative numbers."""

    factor: int
    shift: int
    rounding: int


@dataclass(frozen=True, slots=True)
class Requantise:
    """``clip(q, low, high)`` of ``q = acc >> shift``; the rounding constant is part of the bias.

    With a slope it is the larger of ``q`` and the product that is clipped.
    """

    shift: int
    low: int
    high: int
    slope: Slope | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel sliding over a plane. Padding is (top, left, bottom, right) in input pixels.

    A transposed convolution slides by one pixel over a plane that is ``spread``: between two rows,
    and two columns, lie so many less one of zeros. Padding is in pixels of that plane then.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    spread: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width in input pixels that one output pixel sees."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return (kh - 1) * dh + 1, (kw - 1) * dw + 1


@dataclass(frozen=True, slots=True)
class Plane:
    """Size of one activation: channels, height, width, and frames that lie side by side."""

    channels: int
    height: int
    width: int
    frames: int = 1

    @property
    def size(self) -> int:
        """Values in all."""
        return self.channels * self.height * self.width * self.frames

    def in_elements(self, config: VtaConfig) -> Plane:
        """The same in elements of BATCH frames and BLOCK channels; absent ones are zero."""
        blocks, groups = -(-self.channels // config.block), -(-self.frames // config.batch)
        return Plane(blocks, self.height, self.width, groups)


@dataclass(frozen=True, slots=True)
class Pool:
    """A maximum over a window of a layer's results, taken before they are stored."""

    window: Window
    target: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """Convolution, dense layer, addition or average pooling: all are GEMM, then requantise.

    ``weight`` is int8 ``[O, I / groups, kh, kw]`` (DENSE; how channels lie in blocks is not yet
    known) or the scalar on the diagonal (UNIFORM);
    ``bias`` is int32 ``[O]``, rounding constant included. ``skip_shift`` is the left shift
    of the second operand, None when there is none. ``pool`` takes the maximum of what
    requantising makes of ``target``; only that is stored.
    """

    name: str
    kind: str
    source: Plane
    target: Plane
    window: Window
    weights: Weights
    weight: np.ndarray
    bias: np.ndarray
    requantise: Requantise
    skip_shift: int | None
    macs: int
    groups: int = 1
    pool: Pool | None = None

    @property
    def output(self) -> Plane:
        """What is stored."""
        return self.pool.target if self.pool else self.target


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool:
    """Maximum over a window; padding never wins."""

    name: str
    kind: str
    source: Plane
    target: Plane
    window: Window
    macs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    """Tensors side by side in one, channel after channel."""

    name: str
    kind: str
    sources: tuple[Plane, ...]
    target: Plane
    macs: int = 0


Layer = Conv | MaxPool | Concat


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A layer in a program's graph; ``inputs`` and ``output`` are tensor names."""

    layer: Layer
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A VTA program before scheduling: tensors by name, nodes in execution order.

    ``shapes`` keeps the callers' view (``[N, C, H, W]`` or ``[N, C]``) of every tensor.
    """

    symbol: str
    shapes: dict[str, tuple[int, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]


def plane_of(shape: tuple[int, ...]) -> Plane:
    """The plane of a ``[N, C, H, W]`` or ``[N, C]`` tensor."""
    frames, channels, *sides = shape
    height, width = sides or (1, 1)
    return Plane(channels, height, width, frames)

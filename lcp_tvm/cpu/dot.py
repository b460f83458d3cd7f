"""Products of int8 numbers: four inputs at a time, times four weights of each lane.

    sums[lane] += x[0] w[lane, 0] + x[1] w[lane, 1] + x[2] w[lane, 2] + x[3] w[lane, 3]

Sums are int32 and exact: what an instruction would saturate is never given to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from lcp_tvm.cpu.blocked import Dtype

QUAD = 4
"""Inputs that are multiplied at a time."""

Integers = NDArray[np.integer[Any]]
Load = Callable[[int, int], Any]
"""Gives a vector of four inputs, or of the weights of a vector of sums: from where, how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot(ABC):
    """What a core's instructions do.

    Attributes
    ----------
    name : by which databases of tunings know it.
    lanes : int32 sums of a vector register.
    dtype : of maps.
    weights : dtype of packed weights, ``single`` of those of depthwise convolutions.
    vectors : that four inputs are spread to, and four weights of each lane take.
    instructions : that add four products to each lane.
    outputs : vectors of a dense layer's that are summed up at a time.
    """

    name: ClassVar[str]
    lanes: int
    dtype: Dtype
    weights: str
    single: str
    vectors: int
    instructions: int
    outputs: int = 8

    def exact_for(self, weight: Integers) -> Dot:
        """Return what computes products with these weights exactly."""
        return self

    @abstractmethod
    def pack(self, weight: Integers) -> Integers:
        """Return weights [..., lanes, 4] as [..., 4 lanes], in the order of use."""

    @abstractmethod
    def spread(self, quad: Load) -> tuple[Any, ...]:
        """Return four inputs as vectors that go with weights."""

    @abstractmethod
    def add(self, sums: Any, inputs: tuple[Any, ...], weight: Load) -> Any:
        """Return the sums with the products of spread inputs."""

    @abstractmethod
    def add_single(self, sums: Any, inputs: Any, weight: Any) -> Any:
        """Return the sums with a product in each lane: the inputs are as they lie in the map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vnni(Dot):
    """AVX-512 VNNI: vpdpbusd, bytes without a sign times bytes with one."""

    name: ClassVar[str] = "vpdpbusd"
    lanes: int = 16
    dtype: Dtype = "uint8"
    weights: str = "int8"
    single: str = "int32"
    vectors: int = 1
    instructions: int = 1

    def pack(self, weight: Integers) -> Integers:
        return weight.astype(np.int8).reshape(*weight.shape[:-2], -1)

    def spread(self, quad: Load) -> tuple[Any, ...]:
        broadcast = tirx.Broadcast(tirx.reinterpret("int32", quad(0, QUAD)), self.lanes)
        return (tirx.reinterpret("int8x64", broadcast),)

    def add(self, sums: Any, inputs: tuple[Any, ...], weight: Load) -> Any:
        return self._products(sums, inputs[0], weight(0, QUAD * self.lanes))

    def add_single(self, sums: Any, inputs: Any, weight: Any) -> Any:
        # The bytes above an input are zero, whatever those above the weight are.
        wide = tirx.reinterpret("int8x64", tirx.Cast("int32x16", inputs))
        return self._products(sums, wide, tirx.reinterpret("int8x64", weight))

    def _products(self, sums: Any, unsigned: Any, signed: Any) -> Any:
        name = "llvm.x86.avx512.vpdpbusd.512"
        return tirx.call_llvm_pure_intrin("int32x16", name, sums, unsigned, signed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Madd(Dot):
    """x86 without VNNI: pmaddwd, pairs of 16 bits; pmaddubsw would saturate."""

    name: ClassVar[str] = "pmaddwd"
    instruction: str
    dtype: Dtype = "uint8"
    weights: str = "int16"
    single: str = "int32"
    vectors: int = 2
    instructions: int = 4

    def pack(self, weight: Integers) -> Integers:
        # As the inputs come apart: those of even number, then those of odd.
        pairs = np.stack([weight[..., 0::2], weight[..., 1::2]], axis=-3)
        return pairs.astype(np.int16).reshape(*weight.shape[:-2], -1)

    def spread(self, quad: Load) -> tuple[Any, ...]:
        both = tirx.Broadcast(tirx.reinterpret("int32", quad(0, QUAD)), self.lanes)
        low = tirx.Broadcast(tirx.IntImm("int32", 0x00FF00FF), self.lanes)
        odd = (both >> tirx.Broadcast(tirx.IntImm("int32", 8), self.lanes)) & low
        return self._halves(both & low), self._halves(odd)

    def add(self, sums: Any, inputs: tuple[Any, ...], weight: Load) -> Any:
        size = 2 * self.lanes
        for number, pair in enumerate(inputs):
            sums = sums + self._products(pair, weight(number * size, size))
        return sums

    def add_single(self, sums: Any, inputs: Any, weight: Any) -> Any:
        wide = tirx.Cast(f"int32x{self.lanes}", inputs)
        return sums + self._products(self._halves(wide), self._halves(weight))

    def _halves(self, value: Any) -> Any:
        return tirx.reinterpret(f"int16x{2 * self.lanes}", value)

    def _products(self, left: Any, right: Any) -> Any:
        dtype = f"int32x{self.lanes}"
        return tirx.call_llvm_pure_intrin(dtype, self.instruction, left, right)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neon(Dot):
    """Any NEON: maps keep their signs."""

    lanes: int = 4
    dtype: Dtype = "int8"
    weights: str = "int8"
    single: str = "int16"
    vectors: int = 1
    instructions: int = 1

    def add_single(self, sums: Any, inputs: Any, weight: Any) -> Any:
        wide = tirx.Cast("int32x4", tirx.Cast("int16x4", inputs))
        return sums + wide * tirx.Cast("int32x4", weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdot(_Neon):
    """aarch64 with dot products: sdot."""

    name: ClassVar[str] = "sdot"

    def pack(self, weight: Integers) -> Integers:
        return weight.astype(np.int8).reshape(*weight.shape[:-2], -1)

    def spread(self, quad: Load) -> tuple[Any, ...]:
        broadcast = tirx.Broadcast(tirx.reinterpret("int32", quad(0, QUAD)), self.lanes)
        return (tirx.reinterpret("int8x16", broadcast),)

    def add(self, sums: Any, inputs: tuple[Any, ...], weight: Load) -> Any:
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        return tirx.call_llvm_pure_intrin("int32x4", name, sums, inputs[0], weight(0, 16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mull(_Neon):
    """NEON without dot products: smull and smlal to 16 bits, and sadalp to the sums.

    Attributes
    ----------
    padal : the last of them.
    alone : whether each product is added to the sums by itself: two of them fit 16 bits unless
        all four numbers are -128.
    """

    name: ClassVar[str] = "smull"
    padal: Callable[[Any, Any], Any]
    alone: bool = False
    vectors: int = 2
    instructions: int = 3
    outputs: int = 4  # with more, LLVM spills

    def exact_for(self, weight: Integers) -> Dot:
        return replace(self, alone=bool(weight.min() == -128))

    def pack(self, weight: Integers) -> Integers:
        pairs = np.stack([weight[..., 0:2], weight[..., 2:4]], axis=-3)
        return pairs.astype(np.int8).reshape(*weight.shape[:-2], -1)

    def spread(self, quad: Load) -> tuple[Any, ...]:
        pairs = (tirx.reinterpret("int16", quad(begin, 2)) for begin in (0, 2))
        return tuple(tirx.reinterpret("int8x8", tirx.Broadcast(pair, self.lanes)) for pair in pairs)

    def add(self, sums: Any, inputs: tuple[Any, ...], weight: Load) -> Any:
        wide = [
            tirx.Cast("int16x8", pair) * tirx.Cast("int16x8", weight(8 * number, 8))
            for number, pair in enumerate(inputs)
        ]
        if self.alone:
            return self.padal(self.padal(sums, wide[0]), wide[1])
        return self.padal(sums, wide[0] + wide[1])


def padal_armv7(sums: Any, products: Any) -> Any:
    """Add pairs of 16 bits to sums."""
    name = "llvm.arm.neon.vpadals.v4i32.v8i16"
    return tirx.call_llvm_pure_intrin("int32x4", name, sums, products)


def padal_aarch64(sums: Any, products: Any) -> Any:
    """Add pairs of 16 bits to sums."""
    name = "llvm.aarch64.neon.saddlp.v4i32.v8i16"
    return sums + tirx.call_llvm_pure_intrin("int32x4", name, products)


_SSE = Madd(lanes=4, instruction="llvm.x86.sse2.pmadd.wd")
_AVX2 = Madd(lanes=8, instruction="llvm.x86.avx2.pmadd.wd")
_AVX512 = Madd(lanes=16, instruction="llvm.x86.avx512.pmaddw.d.512")

DOTS: Mapping[str, Dot] = MappingProxyType(
    {
        "x86-64-v2": _SSE,
        "x86-64-v3": _AVX2,
        "x86-64-v4": _AVX512,
        "x86-64-v4-vnni": Vnni(),
        "cortex-a9": Mull(padal=padal_armv7, vectors=1),  # two halves of a register
        "aarch64": Mull(padal=padal_aarch64),
        "cortex-a53": Mull(padal=padal_aarch64),
        "cortex-a72": Mull(padal=padal_aarch64),
        "aarch64-dotprod": Sdot(),
        "cortex-a76": Sdot(),
    }
)
"""By processor, as in `core.CORES`."""

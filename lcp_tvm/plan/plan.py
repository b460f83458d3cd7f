"""The plan: what every way to split a network ends in, and all that its consumers know of it.

A task calls one function, reads regions of tensors as its arguments and writes regions of
tensors with its results. What must wait for what follows from the regions alone. The code of
the functions is elsewhere (an IRModule, or a package's files) under the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final, Literal

from lcp_tvm.plan.box import Box, box_size

Gateway = Literal["gateway"]
GATEWAY: Final[Gateway] = "gateway"
"""The device that frames' results go to; it also runs what comes after a merge."""

Device = int | Gateway
"""Devices that compute have numbers from 0."""

Policy = Literal["static", "sharing", "stealing"]
"""Who runs a task: the device that the plan says; whom the gateway gives it to; who is free."""

ITEM_SIZE: Mapping[str, int] = {
    "float32": 4, "float16": 2, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1
}  # fmt: skip
"""Bytes of an element of every type that a plan's tensors may have."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and type of a tensor, an argument or a result."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEM_SIZE[self.dtype]


@dataclass(frozen=True, slots=True)
class Region:
    """A box of a tensor of the plan."""

    tensor: str
    box: Box

    @property
    def size(self) -> int:
        """Elements."""
        return box_size(self.box)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call of a function takes.

    Attributes
    ----------
    macs : multiply-accumulates of convolutions and dense layers.
    integer_macs : those of them that multiply int8.
    elements : elements that all operators together produce; the traffic of pools and additions.
    weight_bytes : constants that the function holds.
    peak_bytes : arguments, results and intermediate tensors alive at the worst moment, without
        the constants.
    """

    macs: int = 0
    elements: int = 0
    weight_bytes: int = 0
    peak_bytes: int = 0
    integer_macs: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    """Signature and cost of a function.

    Attributes
    ----------
    measured_ms : the time of a call by kind of device (`lcp_tvm.predict.kinds`), where it was
        measured or simulated; elsewhere the predictor estimates it from the cost.
    weights : bytes of each of its constants by name. Functions with a name in common share that
        constant where they are together; those without names share none.
    """

    args: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    cost: Cost = Cost()
    measured_ms: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Another way to the same results, for when a task's reads have not come in time."""

    function: str
    reads: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One call of a function.

    Attributes
    ----------
    reads : a region per argument, in order; ``writes``: one per result.
    device : where it runs; None leaves it to whoever is free.
    needs : when set, any so many of the reads suffice. The function then takes, after its
        arguments, an int32 vector that says which have come (1) and which are zeros (0).
    fallback : what to call when reads that other tasks write are missing and nobody waits for
        them (work stealing with reuse, DeepThings section IV-C).
    """

    name: str
    function: str
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    device: Device | None = None
    needs: int | None = None
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A network as tasks.

    Attributes
    ----------
    name : of the network; ``split``: the text after ``--split`` that made the plan.
    tensors : by name; every element of every one is written once, the inputs' by the frame.
    inputs, outputs : names of tensors, in the order of the network's.
    tasks : in an order that can be computed one by one, which is also the order of a work queue.
    devices : numbers that tasks may have as ``device``.
    replicas : groups of ``devices`` devices that take turns, a frame each (data parallelism);
        of replica r, device d is number ``r * devices + d``.
    policy : how tasks find their devices, unless somebody asks for another way.
    """

    name: str
    split: str
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    functions: Mapping[str, Function]
    tasks: tuple[Task, ...]
    devices: int = 1
    replicas: int = 1
    policy: Policy = "static"

    @property
    def batch(self) -> int:
        """Pictures that a frame takes together: N of an input [N, C, H, W]."""
        shape = self.tensors[self.inputs[0]].shape
        return shape[0] if len(shape) == 4 else 1

    def nbytes(self, region: Region) -> int:
        """Bytes of a region."""
        return region.size * ITEM_SIZE[self.tensors[region.tensor].dtype]

    def weight_bytes(self, functions: Iterable[str]) -> int:
        """Bytes of the constants that some functions hold together, shared ones once."""
        shared: dict[str, int] = {}
        own = 0
        for name in set(functions):
            function = self.functions[name]
            shared.update(function.weights)
            own += 0 if function.weights else function.cost.weight_bytes
        return own + sum(shared.values())

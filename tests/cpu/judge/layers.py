"""The distinct convolutions of a network, each as a network of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.network_graph import Node, read_graph


@dataclass(frozen=True, slots=True, order=True)
class Convolution:
    """A float32 convolution of one map.

    Attributes
    ----------
    data : channels, rows and columns of what it reads.
    weight : outputs, inputs of a group, rows and columns of the kernel.
    padding : top, left, bottom, right.
    """

    data: tuple[int, int, int]
    weight: tuple[int, int, int, int]
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def result(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what it writes."""
        sides = (
            (size + before + after - spread * (kernel - 1) - 1) // stride + 1
            for size, before, after, spread, kernel, stride in zip(
                self.data[1:],
                self.padding[:2],
                self.padding[2:],
                self.dilation,
                self.weight[2:],
                self.strides,
                strict=True,
            )
        )
        rows, columns = sides
        return self.weight[0], rows, columns

    @property
    def macs(self) -> int:
        return prod(self.result) * prod(self.weight[1:])

    def __str__(self) -> str:
        channels, rows, columns = self.data
        outputs, _, high, wide = self.weight
        kind = f" groups {self.groups}" if self.groups > 1 else ""
        stride = f" stride {self.strides[0]}" if self.strides != (1, 1) else ""
        return f"{channels}x{rows}x{columns} -> {outputs}, {high}x{wide}{stride}{kind}"

    def module(self) -> tvm.IRModule:
        """It and its bias as Relax, with random weights."""
        # Weights of its own: functions that read the same ones are compiled as tiles are.
        rng = np.random.default_rng((*self.data, *self.weight, *self.strides))
        scale = (2 / prod(self.weight[1:])) ** 0.5
        weight = rng.normal(0, scale, self.weight).astype(np.float32)
        bias = rng.normal(0, 0.1, (1, self.weight[0], 1, 1)).astype(np.float32)
        builder = relax.BlockBuilder()
        image = relax.Var("image", relax.TensorType((1, *self.data), "float32"))
        with builder.function("main", [image]):
            with builder.dataflow():
                product = builder.emit(
                    R.nn.conv2d(
                        image,
                        relax.const(weight),
                        strides=list(self.strides),
                        padding=list(self.padding),
                        dilation=list(self.dilation),
                        groups=self.groups,
                    )
                )
                output = builder.emit_output(R.add(product, relax.const(bias)))
            builder.emit_func_output(output)
        return builder.finalize()


def convolutions(module: tvm.IRModule) -> dict[Convolution, int]:
    """A float network's convolutions in order of computation, and how often it has each."""
    graph = read_graph(module)
    counts: dict[Convolution, int] = {}
    for node in graph.nodes:
        if node.op == "nn.conv2d":
            convolution = _read(node, graph.nodes)
            counts[convolution] = counts.get(convolution, 0) + 1
    return counts


def _read(node: Node, nodes: tuple[Node, ...]) -> Convolution:
    data, weight = (
        nodes[operand].shape if isinstance(operand, int) else operand.shape
        for operand in node.operands
    )
    attrs = node.call.attrs
    return Convolution(
        data[1:],
        weight,
        tuple(map(int, attrs.strides)),
        tuple(map(int, attrs.padding)),
        tuple(map(int, attrs.dilation)),
        int(attrs.groups),
    )

"""Dense layers: a run of outputs stays in registers while the inputs pass by, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.epilogue import FLOATS, Step, finish
from lcp_tvm.cpu.kernels.writer import kernel, shared

ZERO = tirx.FloatImm("float32", 0.0)


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense layer [N, K] -> [N, M].

    Attributes
    ----------
    lanes, vectors : of outputs that are computed at a time.
    steps : after the sums; their operands have M numbers.
    """

    batch: int
    inputs: int
    outputs: int
    lanes: int
    vectors: int
    steps: tuple[Step, ...]

    @property
    def runs(self) -> int:
        """Runs of ``lanes * vectors`` outputs."""
        return -(-self.outputs // (self.lanes * self.vectors))

    @property
    def padded(self) -> int:
        """Outputs with empty ones in the last run."""
        return self.runs * self.lanes * self.vectors


def pack_matrix(dense: Dense, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights [K, M] in the order in which they are read: [runs, K, vectors, lanes]."""
    padded = np.zeros((dense.inputs, dense.padded), np.float32)
    padded[:, : dense.outputs] = weight
    split = padded.reshape(dense.inputs, dense.runs, dense.vectors, dense.lanes)
    return np.ascontiguousarray(split.transpose(1, 0, 2, 3))


def dense_kernel(name: str, dense: Dense) -> tirx.PrimFunc:
    """Return (data, weight, *operands of steps [M padded], out)."""
    vectors, lanes = dense.vectors, dense.lanes
    with kernel(name) as made:
        x = made.buffer((dense.batch, dense.inputs))
        w = made.buffer((dense.runs, dense.inputs, vectors, lanes))
        operands = [made.buffer((dense.padded,)) for step in dense.steps if step.has_operand]
        y = made.buffer((dense.batch, dense.outputs))
        with made.body():
            sums = T.sblock_alloc_buffer((vectors * lanes,), scope="local")
            with shared(dense.batch, dense.runs) as (batch, run):
                with T.unroll(0, vectors) as vector, T.vectorized(0, lanes) as lane:
                    T.buffer_store(sums, ZERO, [vector * lanes + lane])
                with T.serial(0, dense.inputs) as k, T.unroll(0, vectors) as vector:  # noqa: SIM117
                    with T.vectorized(0, lanes) as lane:
                        at = vector * lanes + lane
                        product = x[batch, k] * w[run, k, vector, lane]
                        T.buffer_store(sums, sums[at] + product, [at])
                first = run * (vectors * lanes)
                with T.unroll(0, vectors) as vector, T.vectorized(0, lanes) as lane:
                    at = vector * lanes + lane

                    def load(number: int, place: Any = first + at) -> Any:
                        return operands[number][place]

                    T.buffer_store(sums, finish(sums[at], dense.steps, load, FLOATS), [at])
                left = tirx.min(dense.outputs - first, vectors * lanes)
                with T.serial(0, left) as output:
                    T.buffer_store(y, sums[output], [batch, first + output])
    assert made.function is not None
    return made.function

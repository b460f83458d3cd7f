"""Dense layers of integers: a run of outputs stays in registers while the inputs pass by."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from lcp_tvm.cpu.dot import QUAD, Dot, Integers, Load
from lcp_tvm.cpu.epilogue import finish
from lcp_tvm.cpu.kernels.dense import Dense
from lcp_tvm.cpu.kernels.integer_epilogue import INTEGERS
from lcp_tvm.cpu.kernels.writer import kernel, shared


def pack_matrix_int8(dense: Dense, weight: Integers, dot: Dot) -> Integers:
    """Return weights [K, M] in the order in which they are read: [runs, K / 4, vectors, 4 V]."""
    quads = -(-dense.inputs // QUAD)
    padded = np.zeros((quads * QUAD, dense.padded), np.int8)
    padded[: dense.inputs, : dense.outputs] = weight
    split = padded.reshape(quads, QUAD, dense.runs, dense.vectors, dense.lanes)
    return np.ascontiguousarray(dot.pack(split.transpose(2, 0, 3, 4, 1)))


def dense_int8_kernel(name: str, dense: Dense, dot: Dot) -> tirx.PrimFunc:
    """Return (int8 data, weight, *operands of steps [M padded], int8 out)."""
    vectors, lanes = dense.vectors, dense.lanes
    quads, rest = divmod(dense.inputs, QUAD)
    wide = QUAD * lanes
    with kernel(name) as made:
        x = made.buffer((dense.batch, dense.inputs), "int8")
        w = made.buffer((dense.runs, quads + bool(rest), vectors, wide), dot.weights)
        operands = [
            made.buffer((dense.padded,), "int32") for step in dense.steps if step.kind == "bias"
        ]
        y = made.buffer((dense.batch, dense.outputs), "int8")
        with made.body():
            sums = T.sblock_alloc_buffer((vectors * lanes,), "int32")

            def add(run: Any, number: Any, quad: Load) -> None:
                # Bytes without a sign are numbers plus 128.
                signed = dot.dtype == "int8"
                spread = dot.spread(
                    quad if signed else lambda begin, size: quad(begin, size) ^ -128
                )
                with T.unroll(0, vectors) as vector:

                    def load(begin: int, size: int) -> Any:
                        return w[run, number, vector, tirx.Ramp(begin, 1, size)]

                    at = tirx.Ramp(vector * lanes, 1, lanes)
                    T.buffer_store(sums, dot.add(sums[at], spread, load), [at])

            with shared(dense.batch, dense.runs) as (batch, run):
                with T.unroll(0, vectors) as vector:
                    zero = tirx.Broadcast(tirx.IntImm("int32", 0), lanes)
                    T.buffer_store(sums, zero, [tirx.Ramp(vector * lanes, 1, lanes)])
                with T.serial(0, quads) as number:
                    add(
                        run,
                        number,
                        lambda begin, size: x[batch, tirx.Ramp(number * QUAD + begin, 1, size)],
                    )
                if rest:
                    # Weights beyond the last input are zero.
                    last = [
                        x[batch, tirx.min(quads * QUAD + lane, dense.inputs - 1)]
                        for lane in range(QUAD)
                    ]
                    add(
                        run,
                        quads,
                        lambda begin, size: tirx.Shuffle(
                            last[begin : begin + size], list(range(size))
                        ),
                    )
                first = run * (vectors * lanes)
                with T.unroll(0, vectors) as vector:
                    at = tirx.Ramp(vector * lanes, 1, lanes)
                    places = tirx.Ramp(first + vector * lanes, 1, lanes)
                    done = finish(
                        sums[at], dense.steps, lambda number: operands[number][places], INTEGERS
                    )
                    T.buffer_store(sums, done, [at])
                left = tirx.min(dense.outputs - first, vectors * lanes)
                with T.serial(0, left) as output:
                    value = tirx.Cast("int8", sums[output])
                    T.buffer_store(y, value, [batch, first + output])
    assert made.function is not None
    return made.function

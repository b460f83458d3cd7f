"""Integer Relax is cut where VTA's rules say, and every cut is explained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.partition_vta import Partition, partition_vta
from lcp_tvm.vta.config import load_config
from lcp_tvm.vta.read_graph import read_graph
from tests.reference import evaluate
from tests.vta import builders

PYNQ = load_config("pynq_z1")
RNG = np.random.default_rng(0)


def kinds(partition: Partition) -> dict[str, list[str]]:
    """Layer kinds of every program, by symbol."""
    return {
        symbol: [node.layer.kind for node in read_graph(function, symbol).nodes]
        for symbol, function in (
            (str(function.attrs["global_symbol"]), function)
            for var, function in partition.module.functions.items()
            if var.name_hint != "main"
        )
    }


def weight(*shape: int) -> relax.Expr:
    return relax.const(RNG.integers(-9, 9, shape).astype(np.int8))


def conv(
    emit: builders.Emit, x: relax.Expr, channels: tuple[int, int], groups: int = 1
) -> relax.Expr:
    outputs, inputs = channels
    acc = emit(
        R.nn.conv2d(
            x, weight(outputs, inputs // groups, 3, 3), padding=1, groups=groups, out_dtype="int32"
        )
    )
    acc = emit(R.add(acc, builders.int32(np.ones((1, outputs, 1, 1)))))
    return builders.requantise(emit, acc, 6, 0, 127)


def test_neighbours_become_one_program() -> None:
    module = builders.module_of(
        {"x": (1, 16, 8, 8)}, lambda emit, p: conv(emit, conv(emit, p[0], (32, 16)), (16, 32))
    )
    partition = partition_vta(module, PYNQ)
    assert kinds(partition) == {"vta_0": ["conv2d", "conv2d"]}
    assert partition.reasons == ()


def test_a_convolution_that_others_read_too_is_apart_from_its_pool() -> None:
    """As in every U-Net; both are results here."""

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x = conv(emit, params[0], (16, 16))
        return emit(relax.Tuple([emit(R.nn.max_pool2d(x, (2, 2), (2, 2))), x]))

    partition = partition_vta(builders.module_of({"x": (1, 16, 8, 8)}, body), PYNQ)
    assert kinds(partition) == {"vta_0": ["conv2d", "max_pool2d"]}
    assert partition.reasons == ()


@pytest.mark.parametrize(
    ("shape", "ours"),
    [((1, 16, 1, 1), True), ((16, 1, 1), True), ((), True), ((1, 1, 1, 16), False),
     ((1, 1, 4, 4), False), ((1, 16, 4, 16), False), ((16,), False)],
)  # fmt: skip
def test_what_is_added_to_a_sum_is_one_number_a_channel(shape: tuple[int, ...], ours: bool) -> None:
    """Other constants stay on the CPU, even those with as many numbers as there are channels."""

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        left, right = (emit(R.astype(x, "int32")) for x in params)
        acc = emit(R.add(emit(R.add(left, right)), builders.int32(RNG.integers(-9, 9, shape))))
        return builders.requantise(emit, acc, 1, -128, 127)

    operands = dict.fromkeys("xy", (1, 16, 4, 16) if shape != (1, 1, 4, 4) else (1, 16, 4, 4))
    partition = partition_vta(builders.module_of(operands, body), PYNQ)
    assert (kinds(partition) == {"vta_0": ["add"]}) == ours


def test_depthwise_is_in_one_program_with_its_neighbours() -> None:
    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x = conv(emit, params[0], (16, 16))
        return conv(emit, conv(emit, x, (16, 16), groups=16), (16, 16))

    partition = partition_vta(builders.module_of({"x": (1, 16, 8, 8)}, body), PYNQ)
    assert kinds(partition) == {"vta_0": ["conv2d", "conv2d", "conv2d"]}
    assert partition.reasons == ()


def test_a_sigmoid_goes_to_the_cpu_between_two_programs() -> None:
    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x = conv(emit, params[0], (16, 16))
        bent = emit(R.sigmoid(emit(R.astype(x, "float32"))))
        return conv(emit, emit(R.astype(bent, "int8")), (16, 16))

    partition = partition_vta(builders.module_of({"x": (1, 16, 8, 8)}, body), PYNQ)
    assert kinds(partition) == {"vta_0": ["conv2d"], "vta_1": ["conv2d"]}
    (reason,) = partition.reasons
    assert reason.startswith("sigmoid")


def test_a_residual_block_with_a_projection_is_one_program() -> None:
    """The skip is read by two layers and lives until the second one has added it."""

    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x = conv(emit, params[0], (16, 16))
        y = conv(emit, x, (16, 16))
        acc = emit(R.nn.conv2d(y, weight(16, 16, 1, 1), out_dtype="int32"))
        acc = emit(R.add(acc, builders.int32(np.ones((1, 16, 1, 1)))))
        acc = emit(R.add(acc, builders.operand(emit, x, 2)))
        return builders.requantise(emit, acc, 6, 0, 127)

    module = builders.module_of({"x": (1, 16, 8, 8)}, body)
    partition = partition_vta(module, PYNQ)
    assert kinds(partition) == {"vta_0": ["conv2d", "conv2d", "conv2d"]}
    inputs = builders.random_inputs(RNG, module)
    program = builders.compile_single(module, PYNQ)
    outputs, _ = builders.run_program(program, {"x": inputs[0]}, PYNQ)
    (result,) = outputs.values()
    np.testing.assert_array_equal(result, evaluate(module, *inputs))


def _unfit_skip(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    """The second operand is a row that broadcasts: no residual of the layer's shape."""
    acc = emit(R.nn.conv2d(params[0], weight(16, 16, 1, 1), out_dtype="int32"))
    acc = emit(R.add(acc, builders.int32(np.ones((1, 16, 1, 1)))))
    acc = emit(R.add(acc, builders.operand(emit, params[1], 0)))
    return builders.requantise(emit, acc, 6, 0, 127)


def _float_pool(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    return emit(R.nn.max_pool2d(emit(R.astype(params[0], "float32")), pool_size=(2, 2)))


def _float_product(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    left, right = (emit(R.astype(param, "float32")) for param in params)
    return emit(R.multiply(left, right))


def _far_apart_add(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    left, right = (builders.operand(emit, p, s) for p, s in zip(params, (8, 7), strict=True))
    return builders.requantise(emit, emit(R.add(left, right)), 9, -128, 127)


def _concat(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    return emit(R.concat([params[0], params[1]], axis=1))


def _concat_rows(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
    return emit(R.concat([params[0], params[1]], axis=2))


@pytest.mark.parametrize(
    ("body", "second", "reason"),
    [
        (_unfit_skip, (1, 16, 1, 8), "conv2d"),
        (_float_pool, (1, 16, 8, 8), "max_pool2d lv1: on the CPU, it computes in float32"),
        (_float_product, (1, 16, 8, 8), "multiply lv2: on the CPU, it computes in float32"),
        (_far_apart_add, (1, 16, 8, 8), "add lv4: on the CPU, a factor of"),
        (
            _concat,
            (1, 16, 8, 8),
            "concat lv: on the CPU, all that it concatenates comes from outsi",
        ),
        (_concat_rows, (1, 16, 8, 8), "concat lv: on the CPU, no VTA form of it"),
    ],
)
def test_what_no_rule_covers_stays_on_the_cpu(
    body: Callable[..., relax.Expr], second: tuple[int, ...], reason: str
) -> None:
    module = builders.module_of({"x": (1, 16, 8, 8), "y": second}, body)
    partition = partition_vta(module, PYNQ)
    assert kinds(partition) == {}
    (line,) = partition.reasons
    assert line.startswith(reason)


def test_partitioned_module_still_computes_the_same() -> None:
    def body(emit: builders.Emit, params: list[relax.Var]) -> relax.Expr:
        x = conv(emit, params[0], (20, 16))
        return conv(emit, conv(emit, x, (20, 20), groups=20), (7, 20))

    module: tvm.IRModule = builders.module_of({"x": (1, 16, 9, 7)}, body)
    inputs = builders.random_inputs(RNG, module)
    np.testing.assert_array_equal(
        evaluate(partition_vta(module, PYNQ).module, *inputs), evaluate(module, *inputs)
    )

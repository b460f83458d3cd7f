"""Every slicing rule against brute force: what lies outside the boxes must not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import assume, given
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.plan.box import Box, contains, is_empty
from lcp_tvm.relay_passes.network_graph import NetworkGraph, Node, read_graph
from lcp_tvm.relay_passes.piece import Part, carve
from lcp_tvm.relay_passes.recipe_function import recipe_module
from lcp_tvm.relay_passes.slicing import macs, slice_operator
from tests.reference import evaluate

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def operator(emit: Callable[..., Any], *shapes: Shape) -> tvm.IRModule:
    """A network of one operator on inputs of these shapes."""
    params = [
        relax.Var(f"x{number}", relax.TensorType(shape, "float32"))
        for number, shape in enumerate(shapes)
    ]
    bb = relax.BlockBuilder()
    with bb.function("main", params):
        with bb.dataflow():
            out = bb.emit_output(emit(*params))
        bb.emit_func_output(out)
    return bb.finalize()


def integers(rng: np.random.Generator, shape: Shape, largest: int = 9) -> Array:
    """Whole numbers that are not 0: sums of their products are exact."""
    values = rng.integers(1, largest, shape) * rng.choice([-1, 1], shape)
    return np.asarray(values, np.float32)


def constant(shape: Shape, seed: int = 1) -> Any:
    return relax.const(integers(np.random.default_rng(seed), shape))


def last(module: tvm.IRModule) -> tuple[NetworkGraph, Node]:
    graph = read_graph(module)
    return graph, graph.nodes[graph.outputs[0]]


def at(box: Box) -> tuple[slice, ...]:
    return tuple(slice(*side) for side in box)


@st.composite
def boxes(draw: st.DrawFn, shape: Shape) -> Box:
    sides = []
    for size in shape:
        begin = draw(st.integers(0, size - 1))
        sides.append((begin, draw(st.integers(begin + 1, size))))
    return tuple(sides)


def check(module: tvm.IRModule, box: Box) -> None:
    """Hold the rule of the last operator to what the whole operator computes."""
    graph, node = last(module)
    rng = np.random.default_rng(0)
    inputs = [integers(rng, graph.nodes[index].shape) for index in graph.inputs]
    result = evaluate(module, *inputs)
    slicing = slice_operator(graph, node, box)
    assert contains(slicing.box, box)
    assert not is_empty(slicing.box)

    changed = [integers(rng, x.shape, 1000) for x in inputs]
    for operand, needed in zip(node.operands, slicing.operands, strict=True):
        if isinstance(operand, int) and needed is not None:
            changed[operand][at(needed)] = inputs[operand][at(needed)]
    outside = evaluate(module, *changed)
    np.testing.assert_array_equal(outside[at(slicing.box)], result[at(slicing.box)])

    piece = carve(graph, [Part(node.index, box)], graph.inputs)
    function = tvm.IRModule({"main": recipe_module(graph, {"f": piece.recipe})["f"]})
    parts = [inputs[part.node][at(part.box)] for part in piece.reads]
    np.testing.assert_array_equal(evaluate(function, *parts), result[at(box)])


@st.composite
def convolutions(draw: st.DrawFn, most_padding: int = 5) -> tvm.IRModule:
    groups = draw(st.integers(1, 3))
    inputs, outputs = (draw(st.integers(1, 3)) * groups for _ in range(2))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = [draw(st.integers(0, most_padding)) for _ in range(4)]
    dilation = [draw(st.integers(1, 3)) for _ in range(2)]
    sides = draw(_sides_that_fit(_spans(kernel, dilation), padding))
    data = (draw(st.integers(1, 2)), inputs, *sides)
    weight = constant((outputs, inputs // groups, *kernel))
    strides = [draw(st.integers(1, 4)) for _ in range(2)]
    return operator(
        lambda x: R.nn.conv2d(
            x, weight, strides=strides, padding=padding, dilation=dilation, groups=groups
        ),
        data,
    )


@st.composite
def pools(draw: st.DrawFn, op: Callable[..., Any], **fixed: bool) -> tvm.IRModule:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = [draw(st.integers(1, 2)) for _ in range(2)]
    spans = _spans(kernel, dilation)
    padding = [draw(st.integers(0, kernel[side % 2] - 1)) for side in range(4)]
    data = (1, draw(st.integers(1, 3)), *draw(_sides_that_fit(spans, padding)))
    strides = [draw(st.integers(1, 4)) for _ in range(2)]
    _assume_each_window_reads_data(data, spans, padding, strides, dilation)
    return operator(
        lambda x: op(
            x, pool_size=kernel, strides=strides, padding=padding, dilation=dilation, **fixed
        ),
        data,
    )


def _spans(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]


def _sides_that_fit(spans: Sequence[int], padding: Sequence[int]) -> st.SearchStrategy[Shape]:
    """Height and width of maps that hold a window with their padding."""
    least = [max(1, spans[axis] - padding[axis] - padding[2 + axis]) for axis in (0, 1)]
    return st.tuples(*(st.integers(size, 12) for size in least))


def _assume_each_window_reads_data(
    data: Shape,
    spans: Sequence[int],
    padding: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> None:
    """No window of padding alone, ceiling included: the mean of nothing is no number."""
    for axis in (0, 1):
        size, before, after = data[2 + axis], padding[axis], padding[2 + axis]
        count = -(-(size + before + after - spans[axis]) // strides[axis]) + 1
        for window in range(count):
            begin = window * strides[axis] - before
            taps = range(begin, begin + spans[axis], dilation[axis])
            assume(any(0 <= tap < size for tap in taps))


@given(convolutions(), st.data())
def test_convolution(module: tvm.IRModule, data: st.DataObject) -> None:
    check(module, data.draw(boxes(last(module)[1].shape)))


@given(pools(R.nn.max_pool2d), st.data())
def test_max_pool(module: tvm.IRModule, data: st.DataObject) -> None:
    check(module, data.draw(boxes(last(module)[1].shape)))


@given(pools(R.nn.max_pool2d, ceil_mode=True), st.data())
def test_max_pool_whose_last_window_reaches_out(module: tvm.IRModule, data: st.DataObject) -> None:
    check(module, data.draw(boxes(last(module)[1].shape)))


@pytest.mark.parametrize(
    "modes",
    [{"count_include_pad": True}, {"count_include_pad": False}, {"ceil_mode": True}],
    ids=["with padding", "without padding", "ceil"],
)
def test_average_pool(modes: dict[str, bool]) -> None:
    @given(pools(R.nn.avg_pool2d, **modes), st.data())
    def test(module: tvm.IRModule, data: st.DataObject) -> None:
        check(module, data.draw(boxes(last(module)[1].shape)))

    test()


@given(convolutions(most_padding=0), st.data())
def test_a_convolution_reads_no_border_too_many(module: tvm.IRModule, data: st.DataObject) -> None:
    graph, node = last(module)
    box = data.draw(boxes(node.shape))
    assume(box != node.box)  # the whole of a result takes the whole operator, unchanged
    slicing = slice_operator(graph, node, box)
    assume(slicing.box != node.box)
    (needed, _) = slicing.operands
    assert needed is not None
    rng = np.random.default_rng(0)
    x = integers(rng, graph.nodes[0].shape)
    result = evaluate(module, x)[at(slicing.box)]
    first = tuple(begin for begin, _ in needed)
    final = tuple(end - 1 for _, end in needed)
    for corner in (first, final):  # one value reaches a result through one weight: no sum hides it
        changed = x.copy()
        changed[corner] += 1
        assert (evaluate(module, changed)[at(slicing.box)] != result).any()


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.data())
def test_dense(rows: int, inputs: int, outputs: int, data: st.DataObject) -> None:
    weight = constant((inputs, outputs))
    module = operator(lambda x: R.matmul(x, weight), (rows, inputs))
    check(module, data.draw(boxes((rows, outputs))))


@given(st.data())
def test_concat_of_tensors_and_constants(data: st.DataObject) -> None:
    axis = data.draw(st.integers(-3, 2))
    shapes = []
    for _ in range(data.draw(st.integers(2, 5))):
        shape = [2, 3, 2]
        shape[axis] = data.draw(st.integers(1, 4))
        shapes.append(tuple(shape))
    held = [data.draw(st.booleans()) for _ in shapes]

    def emit(*inputs: Any) -> Any:
        tensors = iter(inputs)
        operands = [
            constant(shape, seed) if hold else next(tensors)
            for seed, (shape, hold) in enumerate(zip(shapes, held, strict=True))
        ]
        return R.concat(operands, axis=axis)

    module = operator(emit, *(s for s, hold in zip(shapes, held, strict=True) if not hold))
    check(module, data.draw(boxes(last(module)[1].shape)))


@pytest.mark.parametrize("op", [R.sum, R.mean, R.max, R.min], ids=lambda op: op.__name__)
def test_reduction(op: Callable[..., Any]) -> None:
    @given(st.sets(st.integers(-4, -1)), st.booleans(), st.data())
    def test(axes: set[int], keepdims: bool, data: st.DataObject) -> None:
        module = operator(lambda x: op(x, sorted(axes) or None, keepdims=keepdims), (2, 3, 4, 5))
        check(module, data.draw(boxes(last(module)[1].shape)))

    test()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_flatten(sides: list[int], data: st.DataObject) -> None:
    size = int(np.prod(sides))
    module = operator(lambda x: R.reshape(x, (1, size)), (1, *sides))
    check(module, data.draw(boxes((1, size))))


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ((1, 6, 4), (1, 1, 6, 4)),
        ((1, 6, 1, 4), (6, 4, 1)),
        ((1, 6, 4), (1, 2, 3, 4)),
        ((1, 2, 3, 4), (1, 6, 4)),
        ((2, 3, 4), (2, 12)),
        ((1, 2, 3, 4), (4, 6)),
        ((4, 6), (6, 4)),
        ((24,), (2, 3, 4)),
        ((1, 2, 3, 4), (24,)),
        ((2, 6, 5), (3, 4, 5)),
        ((1, 1), (1,)),
    ],
    ids=str,
)
@given(choice=st.data())
def test_reshape(data: Shape, result: Shape, choice: st.DataObject) -> None:
    check(operator(lambda x: R.reshape(x, result), data), choice.draw(boxes(result)))


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 0, 1), (-1, 0, 1), None], ids=str)
@given(data=st.data())
def test_permuted_axes(axes: Shape | None, data: st.DataObject) -> None:
    module = operator(lambda x: R.permute_dims(x, axes), (2, 3, 4))
    check(module, data.draw(boxes(last(module)[1].shape)))


@given(
    st.integers(1, 5), st.integers(0, 2), st.integers(0, 2), st.integers(1, 2), st.booleans(),
    st.data(),
)  # fmt: skip
def test_average_over_channels(
    size: int, before: int, after: int, stride: int, counted: bool, data: st.DataObject
) -> None:
    assume(before < size and after < size)
    module = operator(
        lambda x: R.nn.avg_pool3d(
            x,
            pool_size=(size, 1, 1),
            strides=(stride, 1, 1),
            padding=(before, 0, 0, after, 0, 0),
            count_include_pad=counted,
        ),
        (1, 1, 7, 2, 3),
    )
    check(module, data.draw(boxes(last(module)[1].shape)))


@pytest.mark.parametrize("other", [(), (4,), (3, 1), (1, 3, 4), (2, 1, 1), (1, 1, 1)], ids=str)
@given(data=st.data())
def test_elementwise_repeats_sides_of_one(other: Shape, data: st.DataObject) -> None:
    box = data.draw(boxes((2, 3, 4)))
    check(operator(lambda x: R.multiply(x, constant(other)), (2, 3, 4)), box)
    check(operator(lambda x, y: R.add(x, y), (2, 3, 4), other), box)


@given(st.data())
def test_an_operator_without_a_rule_takes_all(data: st.DataObject) -> None:
    module = operator(lambda x: R.nn.softmax(x, axis=1), (2, 5))
    box = data.draw(boxes((2, 5)))
    check(module, box)
    assert slice_operator(*last(module), box).operands == (((0, 2), (0, 5)),)


def test_rows_of_a_convolution_read_their_halo_and_keep_the_padding_of_the_border() -> None:
    module = operator(lambda x: R.nn.conv2d(x, constant((2, 3, 3, 3)), padding=1), (1, 3, 8, 8))
    top = slice_operator(*last(module), ((0, 1), (0, 2), (0, 4), (0, 8)))
    assert top.operands[0] == ((0, 1), (0, 3), (0, 5), (0, 8))
    assert top.padding == (1, 1, 0, 1)
    middle = slice_operator(*last(module), ((0, 1), (0, 2), (4, 6), (2, 6)))
    assert middle.operands[0] == ((0, 1), (0, 3), (3, 7), (1, 7))
    assert middle.padding == (0, 0, 0, 0)


def test_channels_of_a_convolution_take_their_kernels_alone() -> None:
    module = operator(lambda x: R.nn.conv2d(x, constant((8, 3, 3, 3)), padding=1), (1, 3, 8, 8))
    slicing = slice_operator(*last(module), ((0, 1), (2, 5), (0, 8), (0, 8)))
    assert slicing.operands[1] == ((2, 5), (0, 3), (0, 3), (0, 3))


@pytest.mark.parametrize(
    ("asked", "computed", "inputs"),
    [((0, 2), (0, 2), (0, 3)), ((4, 8), (4, 8), (3, 6)), ((2, 5), (0, 8), (0, 6))],
    ids=["in the first group", "the second group", "across groups"],
)
def test_channels_within_a_group_read_that_groups_inputs(
    asked: tuple[int, int], computed: tuple[int, int], inputs: tuple[int, int]
) -> None:
    module = operator(lambda x: R.nn.conv2d(x, constant((8, 3, 1, 1)), groups=2), (1, 6, 4, 4))
    slicing = slice_operator(*last(module), ((0, 1), asked, (0, 4), (0, 4)))
    assert slicing.box[1] == computed
    assert slicing.operands[0] == ((0, 1), inputs, (0, 4), (0, 4))


def test_a_stride_beyond_the_kernel_leaves_rows_out() -> None:
    module = operator(lambda x: R.nn.conv2d(x, constant((1, 1, 1, 1)), strides=3), (1, 1, 10, 10))
    slicing = slice_operator(*last(module), ((0, 1), (0, 1), (1, 3), (0, 4)))
    assert slicing.operands[0] == ((0, 1), (0, 1), (3, 7), (0, 10))


def test_flattened_features_come_by_whole_channels() -> None:
    module = operator(lambda x: R.reshape(x, (1, 24)), (1, 6, 2, 2))
    slicing = slice_operator(*last(module), ((0, 1), (5, 9)))
    assert slicing.box == ((0, 1), (4, 12))
    assert slicing.operands == (((0, 1), (1, 3), (0, 2), (0, 2)),)


def test_windows_that_read_padding_alone_take_all() -> None:
    module = operator(lambda x: R.nn.conv2d(x, constant((1, 1, 1, 1)), padding=2), (1, 1, 4, 4))
    slicing = slice_operator(*last(module), ((0, 1), (0, 1), (0, 2), (0, 8)))
    assert slicing.box == ((0, 1), (0, 1), (0, 8), (0, 8))


def test_channels_of_an_average_over_channels_read_those_beside_them() -> None:
    module = operator(
        lambda x: R.nn.avg_pool3d(x, pool_size=(5, 1, 1), padding=(2, 0, 0, 2, 0, 0)),
        (1, 1, 8, 4, 4),
    )
    slicing = slice_operator(*last(module), ((0, 1), (0, 1), (1, 4), (2, 3), (0, 4)))
    assert slicing.operands == (((0, 1), (0, 1), (0, 6), (2, 3), (0, 4)),)
    assert slicing.padding == (1, 0, 0, 0, 0, 0)


WHOLE = {
    "NHWC": (
        lambda x: R.nn.max_pool2d(x, (2, 2), strides=(2, 2), layout="NHWC"),
        (1, 8, 8, 4),
    ),
    "NHWC convolution": (
        lambda x: R.nn.conv2d(x, constant((4, 2, 2, 4)), data_layout="NHWC", kernel_layout="OHWI"),
        (1, 8, 8, 4),
    ),
    "HWIO kernels": (
        lambda x: R.nn.conv2d(x, constant((2, 2, 4, 4)), kernel_layout="HWIO"),
        (1, 4, 8, 8),
    ),
    "an average that counts padding, with a ceiling": (
        lambda x: R.nn.avg_pool2d(
            x, (3, 3), strides=(2, 2), padding=1, ceil_mode=True, count_include_pad=True
        ),
        (1, 4, 8, 8),
    ),
    "batched matrices": (lambda x: R.matmul(x, constant((2, 3, 5))), (2, 4, 3)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_what_the_rules_do_not_know_is_computed_whole(kind: str) -> None:
    emit, shape = WHOLE[kind]
    graph, node = last(operator(emit, shape))
    box = tuple((0, 1) for _ in node.shape)
    slicing = slice_operator(graph, node, box)
    assert slicing.box == node.box
    assert slicing.operands[0] == graph.nodes[0].box
    assert slicing.padding is None


def test_every_input_of_a_transposed_convolution_meets_every_weight_of_its_group() -> None:
    def transposed(x: Any) -> Any:
        return R.nn.conv2d_transpose(x, constant((4, 3, 2, 5)), strides=(2, 2), groups=2)

    graph, node = last(operator(transposed, (1, 4, 6, 7)))
    slicing = slice_operator(graph, node, ((0, 1), (0, 6), (0, 3), (0, 4)))
    assert slicing.box == node.box
    assert macs(graph, node, slicing.box, slicing.operands) == 4 * 6 * 7 * 3 * 2 * 5

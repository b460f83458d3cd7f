"""What `benchmarks/cpu.py --layers` takes of a network."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from tests.cpu.judge.contenders import relative_error
from tests.cpu.judge.layers import Convolution, convolutions
from tests.reference import evaluate

WIDE = Convolution((8, 9, 7), (8, 8, 3, 3), padding=(1, 1, 1, 1))
DEEP = Convolution((8, 9, 7), (8, 1, 3, 3), (2, 1), padding=(1, 0, 1, 2), dilation=(1, 2), groups=8)


def network(*layers: Convolution) -> tvm.IRModule:
    """Layers one behind the other, each of which keeps 8 channels."""
    builder = relax.BlockBuilder()
    value = relax.Var("image", relax.TensorType((1, *layers[0].data), "float32"))
    with builder.function("main", [value]):
        with builder.dataflow():
            for layer in layers:
                value = builder.emit(
                    R.nn.conv2d(
                        value,
                        relax.const(np.ones(layer.weight, np.float32)),
                        strides=list(layer.strides),
                        padding=list(layer.padding),
                        dilation=list(layer.dilation),
                        groups=layer.groups,
                    )
                )
            output = builder.emit_output(value)
        builder.emit_func_output(output)
    return builder.finalize()


def test_equal_convolutions_are_one_layer_that_is_counted() -> None:
    found = convolutions(network(WIDE, WIDE, DEEP))
    assert found == {WIDE: 2, DEEP: 1}
    assert list(found) == [WIDE, DEEP]


@pytest.mark.parametrize("layer", [WIDE, DEEP])
def test_a_layer_alone_computes_what_its_shape_says(layer: Convolution) -> None:
    x = np.random.default_rng(0).normal(size=(1, *layer.data)).astype(np.float32)
    assert evaluate(layer.module(), x).shape == (1, *layer.result)
    assert convolutions(layer.module()) == {layer: 1}


def test_a_layers_macs_are_its_results_times_what_each_adds_up() -> None:
    assert WIDE.macs == 8 * 9 * 7 * 8 * 9
    assert DEEP.result == (8, 5, 5)
    assert DEEP.macs == 8 * 5 * 5 * 9


def test_a_layer_is_told_in_one_line() -> None:
    assert str(WIDE) == "8x9x7 -> 8, 3x3"
    assert str(Convolution((8, 9, 9), (8, 1, 3, 3), (2, 2), groups=8)) == (
        "8x9x9 -> 8, 3x3 stride 2 groups 8"
    )


def test_an_error_is_relative_to_the_largest_element() -> None:
    expected = np.array([1.0, -100.0], np.float32)
    assert relative_error(expected + np.float32(1.0), expected) == pytest.approx(0.01)


def test_results_of_other_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shape"):
        relative_error(np.ones((1, 2)), np.ones(2))

"""The ARM core's time is a count of instructions and bytes."""

from __future__ import annotations

import pytest

from lcp_tvm.predict.arm_core import ARM_CORES


def test_a_depthwise_layer_of_mobilenet() -> None:
    """512 channels on 14x14, 3x3: 6,272 times 16 outputs, and 200,704 bytes of layout."""
    cycles = 6_272 * (9 * 6 + 15) + 200_704 * 3
    found = ARM_CORES["pynq"].convolution_ms(512 * 196, 512 * 196, 9)
    assert found == pytest.approx(cycles / 650e3)


def test_a_stride_leaves_the_inputs_to_unpack() -> None:
    core = ARM_CORES["pynq"]
    wide, narrow = (core.convolution_ms(inputs, 1024, 9) for inputs in (4096, 1024))
    assert wide - narrow == pytest.approx(3072 * 3 / 650e3)

"""Every operator that VTA runs is bit-exact against numpy, legal, and free of hazards and races."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.layer import Slope
from tests.reference import evaluate
from tests.vta import builders
from tests.vta.configs import NO_ARM, ROWS, ROWS_WIDE, WIDE

PYNQ = load_config("pynq_z1")

FRAMES = st.sampled_from([1, 1, 2, 3, 4])

CONFIGS = [load_config(name) for name in ("pynq_z1", "ultra96")]


def check(module: tvm.IRModule, rng: np.random.Generator, config: VtaConfig = PYNQ) -> None:
    """Compile for VTA, run on the simulator, compare every bit with numpy."""
    inputs = builders.random_inputs(rng, module)
    program = builders.compile_single(module, config)
    names = [entry["name"] for entry in program.header["inputs"]]
    by_name = {str(param.name): x for param, x in zip(module["main"].params, inputs, strict=True)}
    outputs, _ = builders.run_program(program, {name: by_name[name] for name in names}, config)
    (result,) = outputs.values()
    np.testing.assert_array_equal(result, evaluate(module, *inputs))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kernel", range(1, 12))
@pytest.mark.parametrize("stride", range(1, 5))
def test_convolution_of_every_kernel_and_stride(
    kernel: int, stride: int, config: VtaConfig, rng: np.random.Generator
) -> None:
    size = int(rng.integers(kernel, kernel + 14)), int(rng.integers(kernel, kernel + 14))
    padding = tuple(int(pad) for pad in rng.integers(0, kernel, 4))
    channels, outputs = (int(n) for n in rng.integers(1, 70, 2))
    module = builders.conv(
        rng, (channels, *size), outputs, (kernel, kernel), stride=(stride, stride), padding=padding
    )
    check(module, rng, config)


@pytest.mark.parametrize("dilation", [(2, 2), (1, 3), (6, 4)])
def test_dilated_convolution(dilation: tuple[int, int], rng: np.random.Generator) -> None:
    """The same products as without: a kernel's positions only lie further apart."""
    pads = (*dilation, *dilation)
    module = builders.conv(rng, (20, 15, 17), 40, (3, 3), padding=pads, dilation=dilation)
    check(module, rng)


@pytest.mark.parametrize("padding", [(16, 0, 0, 0), (0, 20, 17, 3), (25, 25, 25, 25)])
def test_padding_is_as_wide_as_it_likes(
    padding: tuple[int, int, int, int], rng: np.random.Generator
) -> None:
    check(builders.conv(rng, (4, 30, 30), 20, (19, 19), padding=padding), rng)


SLOPES = st.sampled_from(
    [None, Slope(1, 3, 4), Slope(3, 5, 16), Slope(13, 6, 32), Slope(25, 7, 0), Slope(1, 0, 0)]
)
"""Of leaky ReLU: products of one to three terms, with and without rounding."""


@st.composite
def convolutions(draw: st.DrawFn) -> tvm.IRModule:
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    height, width = (draw(st.integers(e, e + 20)) for e in extent)
    pads = tuple(draw(st.integers(0, min(15, e - 1))) for e in (*extent, *extent))
    low = draw(st.sampled_from([-128, 0]))
    return builders.conv(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        (draw(st.integers(1, 80)), height, width),
        draw(st.integers(1, 80)),
        kernel,
        stride=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=pads,
        dilation=dilation,
        skip_shift=draw(st.none() | st.integers(0, 12)),
        frames=draw(FRAMES),
        shift=draw(st.integers(0, 20)),
        bounds=(low, draw(st.integers(1, 127))),
        bias_limit=draw(st.sampled_from([0, 100, 10**6])),
        slope=draw(SLOPES),
    )


@st.composite
def grouped_convolutions(draw: st.DrawFn) -> tvm.IRModule:
    """Groups of any width and number, depthwise among them, with ReLU6 and a residual operand."""
    groups = draw(st.integers(2, 70))
    width, wider = draw(st.sampled_from([(1, 1), (1, 1), (1, 2), (1, 3), (4, 4), (12, 5), (16, 8)]))
    if draw(st.booleans()):
        groups, width, wider = draw(st.integers(2, 5)), *draw(st.tuples(*[st.integers(1, 40)] * 2))
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    return builders.conv(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        (groups * width, *(draw(st.integers(e, e + 14)) for e in extent)),
        groups * wider,
        kernel,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=tuple(draw(st.integers(0, e - 1)) for e in (*extent, *extent)),
        dilation=dilation,
        groups=groups,
        skip_shift=draw(st.none() | st.integers(0, 8)),
        shift=draw(st.integers(0, 14)),
        bounds=draw(st.sampled_from([(-128, 127), (0, 127), (0, 96)])),
        bias_limit=draw(st.sampled_from([0, 100, 10**5])),
    )


@settings(max_examples=60)
@given(module=grouped_convolutions(), seed=st.integers(0, 1000))
def test_convolution_of_any_groups(module: tvm.IRModule, seed: int) -> None:
    check(module, np.random.default_rng(seed), NO_ARM)


@pytest.mark.parametrize("groups", [48, 12, 2])
def test_a_pool_behind_a_convolution_of_groups(groups: int, rng: np.random.Generator) -> None:
    module = builders.conv(
        rng, (48, 31, 29), 48, (5, 5), stride=(2, 1), padding=(2, 2, 2, 2), groups=groups,
        bounds=(0, 127), pool=builders.pooling((3, 3), (2, 2), (1, 1, 1, 1)),
    )  # fmt: skip
    check(module, rng, NO_ARM)


@st.composite
def pooled_convolutions(draw: st.DrawFn) -> tvm.IRModule:
    """Convolutions with a pool that lies in one instruction list with them, where it can."""
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, size - 1)) for size in (*window, *window))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    ceil_mode = draw(st.booleans())
    if ceil_mode:  # the last window begins inside the plane, so that all agree on its place
        pads = (0, 0, 0, 0)
        stride = tuple(min(pair) for pair in zip(stride, window, strict=True))
    size = tuple(draw(st.integers(extent, 24)) for extent in window)
    return builders.conv(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        (draw(st.integers(1, 40)), *size),
        draw(st.integers(1, 50)),
        (1, 1) if draw(st.booleans()) else (3, 3),
        padding=(1, 1, 1, 1),
        shift=draw(st.integers(0, 14)),
        bounds=(draw(st.sampled_from([-128, 0])), draw(st.integers(1, 127))),
        bias_limit=draw(st.sampled_from([0, 100, 10**5])),
        slope=draw(SLOPES),
        pool=builders.pooling(window, stride, pads, ceil_mode),
        frames=draw(FRAMES),
    )


@settings(max_examples=60)
@given(module=pooled_convolutions(), seed=st.integers(0, 1000))
def test_convolution_with_any_pool_behind_it(module: tvm.IRModule, seed: int) -> None:
    check(module, np.random.default_rng(seed))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(
    "pool",
    [
        builders.pooling((3, 3), (2, 2), (1, 1, 1, 1)),
        builders.pooling((3, 3), (2, 2), ceil_mode=True),
        builders.pooling((2, 2), (2, 2)),
        builders.pooling((3, 3), (1, 1), (1, 1, 1, 1)),
    ],
    ids=["resnet", "squeezenet", "vgg", "inception"],
)
def test_a_pool_behind_a_convolution_is_one_layer_with_it(
    pool: Callable[[relax.Expr], relax.Expr], config: VtaConfig, rng: np.random.Generator
) -> None:
    module = builders.conv(
        rng, (16, 54, 54), 64, (3, 3), padding=(1, 1, 1, 1), bounds=(0, 127), pool=pool
    )
    assert len(builders.compile_single(module, config).header["layers"]) == 1
    check(module, rng, config)


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> tvm.IRModule:
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride, dilation = draw(pairs), draw(pairs)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    more = tuple(draw(st.integers(0, step - 1)) for step in stride)
    full = [
        (n - 1) * s + (k - 1) * d + 1 + m
        for n, s, k, d, m in zip(size, stride, kernel, dilation, more, strict=True)
    ]
    before = [draw(st.integers(0, min(4, side - 1))) for side in full]
    after = [
        draw(st.integers(0, min(4, side - 1 - pad))) for side, pad in zip(full, before, strict=True)
    ]
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    return builders.conv_transpose(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        (groups * draw(st.integers(1, 40)), *size),
        groups * draw(st.integers(1, 40)),
        kernel,
        stride=stride,
        padding=(*before, *after),
        output_padding=more,
        dilation=dilation,
        groups=groups,
        skip_shift=draw(st.none() | st.integers(0, 12)),
        shift=draw(st.integers(0, 14)),
    )


@settings(max_examples=60)
@given(module=transposed_convolutions(), seed=st.integers(0, 1000))
def test_transposed_convolution_of_any_shape(module: tvm.IRModule, seed: int) -> None:
    check(module, np.random.default_rng(seed), NO_ARM)


def test_a_transposed_convolution_multiplies_no_zeros(rng: np.random.Generator) -> None:
    """A 4x4 kernel of stride 2 has four positions for each output, less beside the edge."""
    module = builders.conv_transpose(
        rng, (16, 8, 8), 16, (4, 4), stride=(2, 2), padding=(1, 1, 1, 1)
    )
    program = builders.compile_single(module, PYNQ)
    data = builders.random_inputs(rng, module)[0]
    _, stats = builders.run_program(program, {"x": data}, PYNQ)
    products, resets_and_bias = (4 * 8 - 2) ** 2, 2 * 16**2
    assert stats.gemm_uops == products + resets_and_bias


@settings(max_examples=60)
@given(module=convolutions(), seed=st.integers(0, 1000), config=st.sampled_from([PYNQ, ROWS]))
def test_convolution_of_any_shape(module: tvm.IRModule, seed: int, config: VtaConfig) -> None:
    check(module, np.random.default_rng(seed), config)


@pytest.mark.parametrize(
    ("source", "channels", "kernel", "stride", "padding"),
    [
        ((3, 224, 224), 64, 7, 2, 3),
        ((64, 56, 56), 64, 3, 1, 1),
        ((256, 14, 14), 512, 1, 2, 0),
        ((512, 7, 7), 512, 3, 1, 1),
        ((3, 227, 227), 96, 11, 4, 0),
    ],
)
def test_convolution_of_known_networks(
    source: tuple[int, int, int],
    channels: int,
    kernel: int,
    stride: int,
    padding: int,
    rng: np.random.Generator,
) -> None:
    pads = (padding,) * 4
    check(
        builders.conv(rng, source, channels, (kernel,) * 2, stride=(stride,) * 2, padding=pads),
        rng,
    )


@pytest.mark.parametrize("skip_shift", [0, 3, 6, 7, 9, 15])
def test_residual_operand_is_added_before_the_shift(
    skip_shift: int, rng: np.random.Generator
) -> None:
    module = builders.conv(
        rng, (40, 14, 14), 40, (3, 3), padding=(1, 1, 1, 1), skip_shift=skip_shift, shift=9
    )
    check(module, rng)


@pytest.mark.parametrize(
    "source", [(512, 1, 1), (512,), (37,), (5, 3, 7), (512, 7, 7), (16,), (1,)]
)
@pytest.mark.parametrize("channels", [1, 10, 100])
def test_dense_of_a_flattened_or_flat_tensor(
    source: tuple[int, ...], channels: int, rng: np.random.Generator
) -> None:
    check(builders.dense(rng, source, channels, shift=10), rng)


@pytest.mark.parametrize("shifts", [(0, 0), (2, 0), (0, 5), (6, 6), (1, 10), (7, 0), (8, 0)])
@pytest.mark.parametrize("source", [(16, 8, 8), (70, 13, 5), (64, 56, 56)])
def test_addition(
    source: tuple[int, int, int], shifts: tuple[int, int], rng: np.random.Generator
) -> None:
    check(builders.add(source, shifts, shift=max(shifts), bounds=(0, 127)), rng)


@pytest.mark.parametrize(
    ("source", "factor", "shift"), [((512, 7, 7), 84, 12), ((17, 8, 8), 64, 11), ((70, 1, 1), 1, 1)]
)
def test_global_average_pooling(
    source: tuple[int, int, int], factor: int, shift: int, rng: np.random.Generator
) -> None:
    check(builders.mean(source, factor, shift), rng)


ARRAYS = [(NO_ARM, 2), (NO_ARM, 3), (NO_ARM, 4), (WIDE, 1), (WIDE, 3)]
ARRAYS += [(config, frames) for config in (ROWS, ROWS_WIDE) for frames in (1, 3, 4, 5)]


@pytest.mark.parametrize(
    ("config", "frames"), ARRAYS, ids=lambda value: getattr(value, "name", value)
)
def test_frames_of_one_program(config: VtaConfig, frames: int, rng: np.random.Generator) -> None:
    """Small planes, dense layers and diagonal ones: tiles of several frames, and of parts."""
    same = (1, 1, 1, 1)
    for module in (
        builders.conv(rng, (128, 7, 7), 128, (3, 3), padding=same, skip_shift=2, frames=frames),
        builders.conv(rng, (80, 14, 14), 96, (1, 1), stride=(2, 2), frames=frames),
        builders.conv(
            rng,
            (40, 12, 12),
            40,
            (3, 3),
            bounds=(0, 127),
            pool=builders.pooling((2, 2), (2, 2)),
            frames=frames,
        ),
        builders.conv(rng, (70, 9, 9), 70, (3, 3), padding=same, groups=70, frames=frames),
        builders.conv_transpose(rng, (24, 5, 7), 40, (3, 3), skip_shift=1, frames=frames),
        builders.conv(rng, (48, 6, 6), 48, (3, 3), slope=Slope(3, 5, 16), frames=frames),
        builders.dense(rng, (256, 3, 3), 30, shift=10, frames=frames),
        builders.dense(rng, (512,), 1000, shift=10, frames=frames),
        builders.add((70, 13, 5), (1, 10), shift=10, bounds=(0, 127), frames=frames),
        builders.mean((80, 7, 7), 84, 12, frames=frames),
        builders.max_pool(
            (20, 9, 9), (3, 3), stride=(2, 2), padding=same, ceil_mode=False, frames=frames
        ),
    ):
        check(module, rng, config)


@st.composite
def poolings(draw: st.DrawFn) -> tvm.IRModule:
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple(draw(st.integers(0, e // 2)) for e in (*extent, *extent))
    return builders.max_pool(
        (draw(st.integers(1, 50)), *(draw(st.integers(e, e + 20)) for e in extent)),
        kernel,
        stride=stride,
        padding=pads,
        dilation=dilation,
        ceil_mode=False,
        frames=draw(FRAMES),
    )


@settings(max_examples=60)
@given(module=poolings(), seed=st.integers(0, 1000))
def test_max_pooling_of_any_shape(module: tvm.IRModule, seed: int) -> None:
    """Padding never wins, for all-negative windows too."""
    check(module, np.random.default_rng(seed))


def test_a_tile_of_a_max_pooling_may_reach_rows_that_no_window_reads(
    rng: np.random.Generator,
) -> None:
    module = builders.max_pool(
        (128, 10, 21), (2, 1), stride=(3, 1), dilation=(2, 1), padding=(0,) * 4, ceil_mode=False
    )
    check(module, rng)


def test_max_pooling_of_resnet_and_squeezenet(rng: np.random.Generator) -> None:
    resnet = builders.max_pool(
        (64, 112, 112), (3, 3), stride=(2, 2), padding=(1, 1, 1, 1), ceil_mode=False
    )
    check(resnet, rng)
    squeezenet = builders.max_pool(
        (64, 54, 54), (3, 3), stride=(2, 2), padding=(0, 0, 0, 0), ceil_mode=True
    )
    check(squeezenet, rng)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((9, 700), 1, (4, 3)), ((300, 300), 2, (50, 50))]
)
def test_rows_that_are_skipped_may_be_longer_than_a_stride_field(
    size: tuple[int, int], kernel: int, stride: tuple[int, int], rng: np.random.Generator
) -> None:
    nothing = (0, 0, 0, 0)
    module = builders.max_pool(
        (16, *size), (kernel, kernel), stride=stride, padding=nothing, ceil_mode=False
    )
    check(module, rng)


@pytest.mark.parametrize("changes", [{"log_wgt_buff_size": 14}, {"log_inp_buff_size": 10}])
def test_dense_layers_with_small_buffers(changes: dict[str, int], rng: np.random.Generator) -> None:
    check(builders.dense(rng, (16,), 10, shift=8), rng, replace(NO_ARM, **changes))


def test_a_longer_hazard_distance_is_kept(rng: np.random.Generator) -> None:
    """A build with a deeper pipeline says so in its config; the simulator holds us to it."""
    deep = replace(PYNQ, hazard_distance=40)
    check(builders.conv(rng, (64, 5, 5), 16, (3, 3)), rng, deep)
    check(builders.dense(rng, (512,), 10), rng, deep)


def test_an_awkward_number_of_input_blocks(rng: np.random.Generator) -> None:
    """509 blocks, a prime: no chunk of them divides evenly."""
    check(builders.dense(rng, (16 * 509,), 10, shift=12), rng)


FAST_WIDE = replace(load_config("zcu104"), name="fast_wide", log_block=5)
OTHERS = [load_config("ultra96"), load_config("zcu104"), WIDE, FAST_WIDE]


@pytest.mark.parametrize("config", OTHERS, ids=lambda config: config.name)
def test_every_kind_of_layer_on_other_builds(config: VtaConfig, rng: np.random.Generator) -> None:
    """A bus of 128 bits at 333 MHz, an array of 32 by 32, and both: other tilings are best."""
    pads, pool = (1, 1, 1, 1), builders.pooling((3, 3), (2, 2), padding=(1, 1, 1, 1))
    leaky = Slope(13, 6, 32)
    for module in (
        builders.conv(rng, (40, 13, 9), 70, (3, 3), padding=pads, skip_shift=9),
        builders.conv(rng, (3, 30, 31), 64, (7, 7), stride=(2, 2)),
        builders.conv(rng, (40, 20, 20), 48, (3, 3), dilation=(2, 2)),
        builders.conv(rng, (40, 28, 28), 40, (3, 3), padding=pads, bounds=(0, 127), pool=pool),
        builders.conv(rng, (48, 13, 13), 64, (3, 3), padding=pads, slope=leaky),
        builders.conv(rng, (72, 13, 9), 72, (3, 3), padding=pads, groups=72),
        builders.conv(rng, (72, 13, 9), 48, (3, 3), padding=pads, groups=3),
        builders.dense(rng, (512,), 10, shift=10),
        builders.dense(rng, (256, 3, 3), 30, shift=10),
        builders.add((70, 13, 5), (1, 10), shift=10, bounds=(0, 127)),
        builders.mean((70, 7, 7), 84, 12),
        builders.max_pool((70, 13, 13), (3, 3), stride=(2, 2), padding=pads, ceil_mode=False),
    ):
        check(module, rng, config)


@pytest.mark.parametrize(
    "config", [*CONFIGS, WIDE, ROWS, ROWS_WIDE], ids=lambda config: config.name
)
def test_leaky_relu_and_transposed_convolution_on_every_array(
    config: VtaConfig, rng: np.random.Generator
) -> None:
    slope, pool = Slope(3, 5, 16), builders.pooling((2, 2), (2, 2))
    same = (1, 1, 1, 1)
    check(builders.conv(rng, (40, 13, 11), 72, (3, 3), padding=same, slope=slope), rng, config)
    check(builders.conv(rng, (40, 8, 6), 72, (1, 1), slope=slope, pool=pool), rng, config)
    check(builders.conv_transpose(rng, (40, 7, 9), 36, (4, 3), padding=same), rng, config)

"""What VTA can run: one constraint a function, its docstring the rule a user reads.

A constraint gets a layer and a config and returns what it found where that is too much, or
None. The compiler prints rule and finding as the reason an operator goes to the CPU, and
``python -m lcp_tvm.vta.support`` writes ``docs/supported_ops.md`` from the same docstrings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lcp_tvm.vta.beside_arm import compare
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.emit_conv import GEMM_SHIFT_LIMIT, conv_shape
from lcp_tvm.vta.emit_pool import pool_tiling
from lcp_tvm.vta.layer import Concat, Conv, Layer, MaxPool, Weights
from lcp_tvm.vta.search import best_tiling

MAX_SHIFT = 31

ConvConstraint = Callable[[Conv, VtaConfig], str | None]
PoolConstraint = Callable[[MaxPool, VtaConfig], str | None]
ConcatConstraint = Callable[[Concat, VtaConfig], str | None]


def padding_fits(layer: MaxPool, config: VtaConfig) -> str | None:
    """Padding is smaller than the (dilated) window."""
    pads, (height, width) = layer.window.padding, layer.window.extent
    if any(pad >= size for pad, size in zip(pads, (height, width) * 2, strict=True)):
        return f"padding {pads} for a window of {height}x{width}"
    return None


def shift_fits(layer: Conv, config: VtaConfig) -> str | None:
    """The requantising shift is 0 to 31 bits."""
    shift = layer.requantise.shift
    return None if 0 <= shift <= MAX_SHIFT else f"a shift of {shift}"


def slope_fits(layer: Conv, config: VtaConfig) -> str | None:
    """Leaky ReLU's slope is an odd number below 128 over a power of two up to 2^15."""
    slope = layer.requantise.slope
    if slope is None:
        return None
    odd = 0 < slope.factor < 128 and slope.factor % 2 == 1
    if odd and 0 <= slope.shift <= 15 and -(1 << 15) <= slope.rounding < 1 << 15:
        return None
    return f"a slope of ({slope.factor} q + {slope.rounding}) / 2^{slope.shift}"


def scale_fits(layer: Conv, config: VtaConfig) -> str | None:
    """A constant factor (average pooling, addition) is an int8 number."""
    if layer.weights is not Weights.UNIFORM:
        return None
    factor = int(layer.weight)
    return None if -128 <= factor <= 127 else f"a factor of {factor}"


def operand_shift_fits(layer: Conv, config: VtaConfig) -> str | None:
    """A second operand is shifted left by 0 to 22 bits, so that 32 bits hold it."""
    shift = layer.skip_shift
    return None if shift is None or 0 <= shift <= 22 else f"a shift of {shift}"


def conv_tile_fits(layer: Conv, config: VtaConfig) -> str | None:
    """One output pixel's window of one channel block fits the input and weight buffers."""
    if best_tiling(conv_shape(layer, config), config) is not None:
        return None
    kh, kw = layer.window.kernel
    return f"a kernel of {kh}x{kw} on {layer.source.height}x{layer.source.width} pixels"


def faster_than_arm(layer: Conv, config: VtaConfig) -> str | None:
    """A convolution of groups takes no longer than on the board's ARM core, as modelled."""
    found = compare(layer, config)
    if found is None or found.vta_ms <= found.arm_ms:
        return None
    return f"{found.vta_ms:.3f} ms, on the {found.core} {found.arm_ms:.3f} ms"


def pool_tile_fits(layer: MaxPool, config: VtaConfig) -> str | None:
    """One output pixel's window of one channel block fits the accumulator and input buffers."""
    if pool_tiling(layer, config) is not None:
        return None
    kh, kw = layer.window.kernel
    return f"a window of {kh}x{kw}"


def blocks_line_up(layer: Concat, config: VtaConfig) -> str | None:
    """Of what is concatenated, all but the last has whole blocks of channels."""
    broken = [plane.channels for plane in layer.sources[:-1] if plane.channels % config.block]
    return f"{broken[0]} channels in blocks of {config.block}" if broken else None


CONV_CONSTRAINTS: tuple[ConvConstraint, ...] = (
    shift_fits,
    slope_fits,
    scale_fits,
    operand_shift_fits,
    conv_tile_fits,
    faster_than_arm,
)
POOL_CONSTRAINTS: tuple[PoolConstraint, ...] = (padding_fits, pool_tile_fits)
CONCAT_CONSTRAINTS: tuple[ConcatConstraint, ...] = (blocks_line_up,)
_CONSTRAINTS: Mapping[type, tuple[Callable[..., str | None], ...]] = {
    Conv: CONV_CONSTRAINTS,
    MaxPool: POOL_CONSTRAINTS,
    Concat: CONCAT_CONSTRAINTS,
}


def refusal(layer: Layer, config: VtaConfig) -> str | None:
    """Why VTA does not run a layer: the finding and the rule, or None when it does."""
    for constraint in _CONSTRAINTS[type(layer)]:
        found = constraint(layer, config)
        if found is not None:
            return f"{found} ({rule(constraint)})"
    return None


def rule(constraint: Callable[..., object]) -> str:
    """A constraint's docstring without its full stop, for use inside a sentence."""
    return " ".join((constraint.__doc__ or "").split()).rstrip(".")


_OPERATORS: tuple[tuple[str, str, tuple[Callable[..., object], ...]], ...] = (
    (
        "convolution",
        "`conv2d` int8 of any number of groups, depthwise too, bias, optional residual operand, "
        "requantise with ReLU, ReLU6, leaky ReLU or clip",
        (shift_fits, slope_fits, operand_shift_fits, conv_tile_fits, faster_than_arm),
    ),
    (
        "transposed convolution",
        "`conv2d_transpose` int8, weights `[I, O / groups, kh, kw]`, and all that a convolution "
        "may have; no phase of the outputs multiplies zeros",
        (shift_fits, slope_fits, operand_shift_fits, conv_tile_fits),
    ),
    (
        "dense",
        "`matmul` with a constant, after a flatten or on `[N, K]`",
        (shift_fits, conv_tile_fits),
    ),
    (
        "addition",
        "`add` of two int8 tensors of one shape, requantise: identity GEMMs",
        (scale_fits, operand_shift_fits, shift_fits),
    ),
    (
        "global average pooling",
        "`mean` over height and width: a GEMM with the factor on the diagonal",
        (scale_fits, shift_fits, conv_tile_fits),
    ),
    (
        "max pooling",
        "`max_pool2d` int8, floor or ceil mode, any stride and dilation: ALU MAX; "
        "behind a convolution in its accumulators",
        (padding_fits, pool_tile_fits),
    ),
    (
        "concatenation",
        "`concat` of int8 channels that a layer on VTA makes, at least one of them: "
        "stored side by side",
        (blocks_line_up,),
    ),
)


def supported_ops_page() -> str:
    """The text of ``docs/supported_ops.md``."""
    config = load_config("pynq_z1")
    lines = [
        "# Operators that run on VTA",
        "",
        "Generated by `python -m lcp_tvm.vta.support` from the checks that the compiler runs;",
        "do not edit. Everything else runs on the board's CPU core, with one printed line of",
        "reason per operator. Sizes that must fit are the config's, for PYNQ "
        f"{config.inp_depth} input, {config.wgt_depth} weight",
        f"and {config.acc_depth} accumulator elements of {config.block} channels.",
        "",
        "| operator | form in integer Relax | constraints |",
        "|---|---|---|",
    ]
    for name, form, constraints in _OPERATORS:
        rules = " ".join(f"{rule(constraint)}." for constraint in constraints)
        lines.append(f"| {name} | {form} | {rules} |")
    lines += [
        "",
        f"A left shift above {GEMM_SHIFT_LIMIT} bits is done by the ALU, a smaller one by the "
        "identity's weight.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path("docs/supported_ops.md").write_text(supported_ops_page())

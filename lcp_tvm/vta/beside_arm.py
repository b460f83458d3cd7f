"""Group convolutions: what they take on VTA, and on the board's ARM core."""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.predict.arm_core import ARM_CORES
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.conv_cycles import cost_of
from lcp_tvm.vta.conv_schedule import slot_sizes
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.layer import Conv, Layer
from lcp_tvm.vta.search import best_tiling
from lcp_tvm.vta.timing import Timing


@dataclass(frozen=True, slots=True)
class Comparison:
    """Modelled milliseconds of a layer amid others that are on VTA, and the core's name."""

    vta_ms: float
    arm_ms: float
    core: str


def compare(layer: Layer, config: VtaConfig) -> Comparison | None:
    """Compare where a group convolution can run; None for other layers, and without an ARM core.

    VTA's time is that amid other layers. The ARM core's has one more launch in it: the layers
    around it are two programs then.
    """
    core = ARM_CORES.get(config.target)
    if core is None or not isinstance(layer, Conv) or layer.groups == 1:
        return None
    shape = conv_shape(layer, config)
    tiling = best_tiling(shape, config)
    if tiling is None:
        return None
    cost = cost_of(shape, tiling, slot_sizes(shape, tiling, config), config)
    arm_ms = core.convolution_ms(layer.source.size, layer.target.size, layer.weight[0].size)
    return Comparison(
        cost.amid / (1e3 * config.clock_mhz), arm_ms + Timing.of(config).launch_ms, core.name
    )

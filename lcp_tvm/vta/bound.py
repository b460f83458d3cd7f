"""The least cycles a layer takes when every unit works all the time and moves every byte once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.layer import Conv, MaxPool, Weights
from lcp_tvm.vta.timing import Timing

ALU_OPS = 3
"""Operations an output element takes: shift and two clips."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Cycles each unit takes at least."""

    compute: float
    load: float
    store: float

    @property
    def cycles(self) -> float:
        """Cycles of the busiest unit."""
        return max(self.compute, self.load, self.store)


@dataclass(frozen=True, slots=True)
class Roof:
    """What a config does at most: of its array, and of its two load ports.

    Attributes
    ----------
    config : its name.
    gmac_s : 1e9 multiply-accumulates a second, a full array at a micro-op a cycle.
    weight_gb_s, input_gb_s : 1e9 bytes a second.
    """

    config: str
    gmac_s: float
    weight_gb_s: float
    input_gb_s: float


def roof_of(config: VtaConfig) -> Roof:
    """Return a config's roof."""
    timing, ghz = Timing.of(config), config.clock_mhz / 1e3
    return Roof(
        config.name,
        config.batch * config.block**2 / timing.gemm_uop * ghz,
        timing.weight_bytes_per_cycle * ghz,
        timing.bytes_per_cycle * ghz,
    )


def bound_of(layer: Conv | MaxPool, config: VtaConfig) -> Bound:
    """Return a layer's bound; a pool behind a convolution counts as a layer of its own beside it.

    Compute is the useful multiply-accumulates, one reset and three ALU operations an output
    element. An output of a group narrower than a block meets only its share of an input element's
    lanes, and of a weight element's: a depthwise product takes a whole micro-op and 256 bytes.
    """
    timing = Timing.of(config)
    source = layer.source.in_elements(config).size
    output = layer.target.in_elements(config).size
    weights, spread = 0.0, 1.0
    if isinstance(layer, Conv):
        if layer.groups > 1:
            spread = max(config.block / layer.weight.shape[1], 1.0)
        weights = layer.weight.size * spread if layer.weights is Weights.DENSE else 0.0
        if layer.pool is not None:
            output += layer.pool.target.in_elements(config).size
        if layer.skip_shift is not None:
            source += layer.target.in_elements(config).size
    gemm = layer.macs / (config.batch * config.block**2) * spread
    element = timing.gemm_uop + ALU_OPS * timing.alu_uop
    stored = layer.output if isinstance(layer, Conv) else layer.target
    return Bound(
        compute=gemm * timing.gemm_uop + output * element,
        load=weights / timing.weight_bytes_per_cycle
        + source * config.inp_elem_bytes / timing.bytes_per_cycle,
        store=stored.in_elements(config).size * config.out_elem_bytes / timing.bytes_per_cycle,
    )


def busiest(counters: Mapping[str, Any], config: VtaConfig) -> str:
    """Name what took the most cycles of those that the simulator counted for a layer."""
    timing = Timing.of(config)
    moved, rows = counters["bytes"], counters["rows"]
    taken = {
        "GEMM": counters["gemm_uops"] * timing.gemm_uop,
        "ALU": counters["alu_uops"] * timing.alu_uop,
        "weight port": moved.get("WGT", 0) / timing.weight_bytes_per_cycle,
        "input port": moved.get("INP", 0) / timing.bytes_per_cycle,
        "output port": moved.get("OUT", 0) / timing.bytes_per_cycle,
        "rows": sum(rows.values()) * timing.row,
        "instructions": sum(counters["instructions"].values()) * timing.instruction,
    }
    return max(taken, key=lambda name: taken[name])

"""Search a tiling longer than a compile does, and let the simulator decide.

    candidates, ranked by a bound --model--> priced tilings --neighbours, model--> more of them
        --simulator, the layer alone--> the best

A compile stops after the model, and has no neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from lcp_tvm.errors import PackageError
from lcp_tvm.facts import FactsError, from_facts
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.emit_conv import conv_shape
from lcp_tvm.vta.layer import Conv, Graph, Node, Plane
from lcp_tvm.vta.program import build_program
from lcp_tvm.vta.search import best_tiling, bound, candidates, price, slot_variants
from lcp_tvm.vta.simulator import simulate
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.tunings import Tuning

RANKED_SHARE, MODELLED_SHARE = 0.3, 0.6
"""Of the time, until which candidates and then neighbours are priced by the model."""

DOUBT = 1.03
"""The model is within so much of the simulator; what is worse by more is not simulated."""

NOTHING: Mapping[ConvShape, Tuning] = MappingProxyType({})
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Layers of one shape, for one config; the first stands for all."""

    layer: Conv
    config: VtaConfig
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a compile does by itself, and the best that is known now."""

    before: Tuning
    after: Tuning


def jobs_of(config: VtaConfig, header: Mapping[str, Any]) -> list[Job]:
    """Return what there is to tune in a ``.vta`` file, given its header.

    Raises
    ------
    PackageError
        The header does not say what its layers are.
    """
    jobs: dict[ConvShape, Job] = {}
    for layer in (layer for program in header["programs"] for layer in program["layers"]):
        if layer.get("facts") is None:
            continue
        try:
            conv = from_facts(Conv, layer["facts"])
        except FactsError as error:
            raise PackageError(
                f"layer {layer['name']}: {error}; the package is corrupt or of another version, "
                "compile the network again"
            ) from error
        shape = conv_shape(conv, config)
        before = jobs[shape].names if shape in jobs else ()
        jobs[shape] = Job(conv, config, (*before, conv.name))
    return list(jobs.values())


def tune(
    layer: Conv,
    config: VtaConfig,
    seconds: float,
    known: Mapping[ConvShape, Tuning] = NOTHING,
    clock: Clock = time.monotonic,
) -> Found:
    """Search a convolution's tiling for about so many seconds.

    Parameters
    ----------
    known : what earlier searches found.

    Raises
    ------
    ValueError
        If no tile fits the buffers; `support` refuses such layers before.
    """
    shape = conv_shape(layer, config)
    start = clock()
    first = best_tiling(shape, config)
    if first is None:
        raise ValueError(f"{layer.name}: no tile fits the buffers")
    before = measure(layer, first, config)
    best = min(before, known.get(shape, before), key=lambda tuning: tuning.price)
    prices = _modelled(
        shape, config, clock, start + RANKED_SHARE * seconds, start + MODELLED_SHARE * seconds
    )
    for tiling in sorted(prices, key=lambda tiling: prices[tiling]):
        if clock() > start + seconds or prices[tiling] > DOUBT * best.price:
            break
        found = measure(layer, tiling, config)
        if found.price < best.price:
            best = found
    return Found(before, best)


def measure(layer: Conv, tiling: Tiling, config: VtaConfig) -> Tuning:
    """Run a layer alone on the simulator."""
    shape = conv_shape(layer, config)
    program = build_program(_alone(layer), config, {shape: tiling})
    dram = np.zeros(program.header["dram_size"], dtype=np.uint8)
    dram[: len(program.image)] = np.frombuffer(program.image, dtype=np.uint8)
    count = program.header["insn_count"]
    stats = simulate(config, dram, program.header["insn_addr"], count)
    return Tuning(shape, tiling, round(stats.cycles), count)


def _alone(layer: Conv) -> Graph:
    inputs = ("x",) if layer.skip_shift is None else ("x", "skip")
    planes = {"x": layer.source, "skip": layer.output, "y": layer.output}
    shapes = {name: _sizes(planes[name]) for name in (*inputs, "y")}
    return Graph("alone", shapes, inputs, ("y",), (Node(layer, inputs, "y"),))


def _sizes(plane: Plane) -> tuple[int, ...]:
    return plane.frames, plane.channels, plane.height, plane.width


def _modelled(
    shape: ConvShape, config: VtaConfig, clock: Clock, ranked_until: float, until: float
) -> dict[Tiling, float]:
    """Return the model's prices of the likeliest tilings, and of what is near the best of them."""
    prices: dict[Tiling, float] = {}
    for tiling in sorted(candidates(shape, config), key=lambda t: bound(shape, t, config)):
        _add_prices(prices, slot_variants(tiling), shape, config)
        if clock() > ranked_until and prices:
            break
    expanded: set[Tiling] = set()
    while clock() <= until and (rest := prices.keys() - expanded):
        tiling = min(rest, key=lambda tiling: prices[tiling])
        expanded.add(tiling)
        _add_prices(prices, neighbours(tiling), shape, config)
    return prices


def _add_prices(
    prices: dict[Tiling, float], tilings: Iterator[Tiling], shape: ConvShape, config: VtaConfig
) -> None:
    for tiling in tilings:
        if tiling not in prices:
            cost = price(shape, tiling, config)
            if cost is not None:
                prices[tiling] = cost


def neighbours(tiling: Tiling) -> Iterator[Tiling]:
    """Tilings that differ in one field: numbers by one, a choice turned over."""
    for field in fields(Tiling):
        value = getattr(tiling, field.name)
        values = (not value,) if isinstance(value, bool) else (value - 1, value + 1)
        for other in values:
            yield replace(tiling, **{field.name: other})

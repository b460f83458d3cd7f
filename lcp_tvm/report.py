"""What a package holds and what it costs: first as data, then as text or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lcp_tvm.errors import LcpError
from lcp_tvm.manifest import Module, Noise, Piece, corrupt
from lcp_tvm.package import Package, so_entry, vta_entry
from lcp_tvm.report_plan import PlanCost, plan_cost
from lcp_tvm.vta.bound import Roof, busiest, roof_of
from lcp_tvm.vta.config import VtaConfig, parse_config
from lcp_tvm.vta.container import read_header


@dataclass(frozen=True, slots=True)
class Buffer:
    """A range of a program's DRAM; address and size in bytes."""

    program: str
    name: str
    address: int
    size: int
    dtype: str


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one layer costs on the VTA.

    ``load``, ``compute`` and ``store`` are the cycles in which that unit is busy; they overlap.
    ``gemm_share`` is the time of the multiply-accumulates alone, in a full array at one block a
    cycle, over the time taken: 1 is the limit of the hardware. ``bound`` is the least cycles that
    the layer takes alone, every byte moved once; ``bound_by`` names what took the most of them.
    ``arm_ms`` is what a group convolution would take on the board's ARM core, as modelled.
    """

    config: str
    program: str
    name: str
    kind: str
    macs: int
    cycles: float
    load: float
    compute: float
    store: float
    dma_bytes: int
    ms: float
    gemm_share: float
    bound: float
    bound_by: str
    arm_ms: float | None


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over all programs; ``ms`` includes one launch a program. CPU pieces are not in it."""

    programs: int
    instructions: int
    macs: int
    cycles: float
    ms: float
    gemm_share: float
    bound: float
    dma_bytes: int
    dram_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """All tables of a package.

    ``config`` are the names of all VTA configs, ``roofs`` what each does at most; ``clock_mhz`` is
    None where they differ in it.
    """

    name: str
    target: str
    config: str | None
    clock_mhz: int | None
    plan: PlanCost
    input_name: str
    input_shape: tuple[int, ...]
    classes: int
    files: Mapping[str, int]  # bytes
    versions: Mapping[str, str]
    pieces: tuple[Piece, ...]
    reasons: tuple[str, ...]
    messages: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    layers: tuple[LayerCost, ...]
    roofs: tuple[Roof, ...]
    total: Total | None
    noise: tuple[Noise, ...]


def build_report(package: Package) -> Report:
    """Compute the tables.

    Raises
    ------
    PackageError
        The package's parts do not go together.
    """
    manifest = package.manifest
    configs: dict[str, VtaConfig] = {}
    buffers: list[Buffer] = []
    layers: list[LayerCost] = []
    totals: list[Total] = []
    for name, module in manifest.modules.items():
        data = package.vta(name)
        if data is None:
            continue
        config, programs = _programs(package, name, module, data)
        configs[config.name] = config
        own: list[LayerCost] = []
        for program in programs:
            buffers += _buffers(program)
            own += _layers(program, module.stats[program["symbol"]], config, package)
        layers += own
        totals.append(_total(programs, module.stats, own, config))
    clocks = {config.clock_mhz for config in configs.values()}
    return Report(
        name=manifest.name,
        target=manifest.target,
        config=", ".join(configs) or None,
        clock_mhz=clocks.pop() if len(clocks) == 1 else None,
        plan=plan_cost(package.plan(), manifest.vta_ms(), manifest.cpu_peak_bytes()),
        input_name=manifest.input_name,
        input_shape=manifest.input_shape,
        classes=len(manifest.labels),
        files=_files(manifest.modules),
        versions=manifest.versions,
        pieces=tuple(piece for module in manifest.modules.values() for piece in module.pieces),
        reasons=manifest.reasons,
        messages=manifest.messages,
        buffers=tuple(buffers),
        layers=tuple(layers),
        roofs=tuple(map(roof_of, configs.values())),
        total=_sum(totals) if totals else None,
        noise=manifest.noise,
    )


def report_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON values; a ratio without noise is null."""
    values = asdict(report)
    for row in values["noise"]:
        row["snr_db"] = row["snr_db"] if math.isfinite(row["snr_db"]) else None
    return values


def _files(modules: Mapping[str, Module]) -> dict[str, int]:
    sizes = {}
    for name, module in modules.items():
        sizes[so_entry(name)] = module.so.size
        if module.vta is not None:
            sizes[vta_entry(name)] = module.vta.size
    return sizes


def _programs(
    package: Package, name: str, module: Module, data: bytes
) -> tuple[VtaConfig, list[dict[str, Any]]]:
    """Return a module's VTA config and the headers of its programs."""
    try:
        config = parse_config(json.dumps(module.config), vta_entry(name))
        header = read_header(data)
    except LcpError as error:
        raise corrupt(str(package.path), str(error)) from error
    symbols = {program["symbol"] for program in header["programs"]}
    if header["config"] != module.config or symbols != set(module.stats):
        raise corrupt(str(package.path), f"{vta_entry(name)} and the manifest do not match")
    return config, header["programs"]


def _buffers(program: Mapping[str, Any]) -> list[Buffer]:
    rows = [
        Buffer(program["symbol"], row["name"], row["addr"], row["size"], row["dtype"])
        for row in program["buffers"]
    ]
    return sorted(rows, key=lambda row: (row.address, row.size))


def _layers(
    program: Mapping[str, Any], stats: Mapping[str, Any], config: VtaConfig, package: Package
) -> list[LayerCost]:
    if len(stats["layers"]) != len(program["layers"]):
        raise corrupt(str(package.path), f"counters of {program['symbol']} lack layers")
    return [
        LayerCost(
            config=config.name,
            program=program["symbol"],
            name=layer["name"],
            kind=layer["kind"],
            macs=layer["macs"],
            cycles=cost["cycles"],
            load=cost["units"]["load"],
            compute=cost["units"]["compute"],
            store=cost["units"]["store"],
            dma_bytes=sum(cost["bytes"].values()),
            ms=cost["cycles"] / (1e3 * config.clock_mhz),
            gemm_share=_gemm_share(layer["macs"], cost["cycles"], config),
            bound=layer["bound"],
            bound_by=busiest(cost, config),
            arm_ms=layer["arm_us"] / 1e3 if "arm_us" in layer else None,
        )
        for layer, cost in zip(program["layers"], stats["layers"], strict=True)
    ]


def _total(
    programs: list[dict[str, Any]],
    stats: Mapping[str, Any],
    layers: list[LayerCost],
    config: VtaConfig,
) -> Total:
    macs = sum(layer.macs for layer in layers)
    cycles = sum(stats[program["symbol"]]["cycles"] for program in programs)
    return Total(
        programs=len(programs),
        instructions=sum(program["insn_count"] for program in programs),
        macs=macs,
        cycles=cycles,
        ms=sum(stats[program["symbol"]]["ms"] for program in programs),
        gemm_share=_gemm_share(macs, cycles, config),
        bound=sum(layer.bound for layer in layers),
        dma_bytes=sum(sum(stats[program["symbol"]]["bytes"].values()) for program in programs),
        dram_bytes=sum(program["dram_size"] for program in programs),
    )


def _sum(totals: list[Total]) -> Total:
    """Add up modules; the share of the limit is weighted by the time."""
    ms = sum(total.ms for total in totals)
    return Total(
        programs=sum(total.programs for total in totals),
        instructions=sum(total.instructions for total in totals),
        macs=sum(total.macs for total in totals),
        cycles=sum(total.cycles for total in totals),
        ms=ms,
        gemm_share=sum(total.gemm_share * total.ms for total in totals) / ms if ms else 0.0,
        bound=sum(total.bound for total in totals),
        dma_bytes=sum(total.dma_bytes for total in totals),
        dram_bytes=sum(total.dram_bytes for total in totals),
    )


def _gemm_share(macs: int, cycles: float, config: VtaConfig) -> float:
    """Share of the array's peak, BATCH x BLOCK x BLOCK multiply-accumulates a cycle."""
    return macs / (config.batch * config.block**2) / cycles if cycles else 0.0

"""The flow: a float or QDQ network to CPU code and VTA programs, measured on the simulator."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.target import Target
from lcp_tvm.manifest import Piece
from lcp_tvm.network import Network
from lcp_tvm.quantise import LayerNoise, check_qdq, is_qdq, quantise
from lcp_tvm.relay_passes.fold_input import fold_input
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from lcp_tvm.relay_passes.partition_vta import Partition, partition_vta
from lcp_tvm.vta.codegen import register_codegen
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.container import parse_programs
from lcp_tvm.vta.simulator import LayerStats, simulate

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is finished."""

_QUANTISED = 0.45
"""Fraction of a compile that quantisation usually takes, and the steps it reports."""

_QUANTISE_STEPS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """All that a package holds.

    ``header`` is the JSON of ``net.vta``; ``stats`` are the simulator's counters by program
    symbol, in the form of docs/architecture.md; ``integer`` is the integer Relax module before
    partitioning, None where the network stays in float.
    """

    network: Network
    target: Target
    integer: tvm.IRModule | None
    net_so: bytes
    net_vta: bytes | None
    header: dict[str, Any]
    stats: dict[str, dict[str, Any]]
    noise: tuple[LayerNoise, ...]
    messages: tuple[str, ...]
    pieces: tuple[Piece, ...]
    reasons: tuple[str, ...]


def compile_network(
    network: Network,
    target: Target,
    calibration: np.ndarray | None = None,
    *,
    progress: Progress | None = None,
) -> Compiled:
    """Compile a network for a target.

    For VTA the network becomes int8, from calibration pictures or as its QDQ nodes say. For a
    CPU it stays in float unless it has QDQ nodes or calibration pictures are given.

    Parameters
    ----------
    calibration : float32 ``[N, C, H, W]``, preprocessed; None quantises from noise on VTA.

    Raises
    ------
    ModelError
        If the network cannot be quantised or compiled.
    """
    report = progress or (lambda what, fraction: None)
    report("quantising", 0.0)
    integer, noise, messages = _to_integer(network, target, calibration, report)
    module = integer if integer is not None else network.module
    if target.vta is not None:
        config = load_config(target.vta)
        report("partitioning", _QUANTISED)
        partition = partition_vta(fold_input(module, config.block), config)
        report("scheduling for VTA", 0.5)
        net_vta, host = _compile_vta(partition, config)
        report("simulating", 0.75)
        header, stats = _measure(net_vta, config) if net_vta else ({}, {})
        pieces, reasons = _pieces(host, header, partition.reasons), partition.reasons
    else:
        net_vta, host, header, stats = None, module, {}, {}
        pieces, reasons = _pieces(host, header, ()), ()
    report("compiling CPU code", 0.85)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.so")
        build_module(host, target, path)
        net_so = path.read_bytes()
    report("done", 1.0)
    return Compiled(
        network=network,
        target=target,
        integer=integer,
        net_so=net_so,
        net_vta=net_vta,
        header=header,
        stats=stats,
        noise=noise,
        messages=messages,
        pieces=pieces,
        reasons=reasons,
    )


def _to_integer(
    network: Network, target: Target, calibration: np.ndarray | None, report: Progress
) -> tuple[tvm.IRModule | None, tuple[LayerNoise, ...], tuple[str, ...]]:
    if is_qdq(network.module):
        check_qdq(network.module)
        return lower_qdq(network.module), (), ()
    if target.kind != "vta" and calibration is None:
        return None, (), ()
    steps: dict[str, int] = {}

    def tick(step: str, part: float) -> None:
        done = steps.setdefault(step, len(steps)) + part
        report(step, _QUANTISED * min(done / _QUANTISE_STEPS, 1.0))

    quantised = quantise(network, calibration, progress=tick)
    return lower_qdq(quantised.module), quantised.table, quantised.messages


def _bindings(module: tvm.IRModule) -> Iterator[relax.Binding]:
    """The bindings of ``main`` in order."""
    for block in module["main"].body.blocks:
        yield from block.bindings


def _compile_vta(partition: Partition, config: VtaConfig) -> tuple[bytes | None, tvm.IRModule]:
    """The VTA part as a ``.vta`` file's bytes, and the module left for the CPU."""
    register_codegen()
    module = relax.transform.RunCodegen({"vta": {"config": config.to_json()}})(partition.module)
    programs = module.attrs.get("external_mods", []) if module.attrs is not None else []
    # The constants now live in the programs; the CPU part must not carry a second copy.
    host = module.without_attr("const_name_to_constant").without_attr("external_mods")
    if not programs:
        return None, host
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.vta")
        programs[0].write_to_file(str(path), "vta")
        return path.read_bytes(), host


def _measure(net_vta: bytes, config: VtaConfig) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run every program once on the simulator: that it is legal, and what it costs."""
    header, images = parse_programs(net_vta)
    stats = {}
    for program, image in zip(header["programs"], images, strict=True):
        dram = np.zeros(program["dram_size"], dtype=np.uint8)
        dram[: len(image)] = np.frombuffer(image, dtype=np.uint8)
        layers = [(layer["first"], layer["count"]) for layer in program["layers"]]
        result = simulate(config, dram, program["insn_addr"], program["insn_count"], layers=layers)
        stats[program["symbol"]] = {
            **_stats_json(result),
            "ms": result.ms,
            "layers": [_stats_json(layer) for layer in result.layers],
        }
    return header, stats


def _stats_json(stats: LayerStats) -> dict[str, Any]:
    return {
        "cycles": stats.cycles,
        "units": dict(stats.units),
        "instructions": dict(stats.instructions),
        "gemm_uops": stats.gemm_uops,
        "alu_uops": stats.alu_uops,
        "bytes": dict(stats.bytes),
        "rows": dict(stats.rows),
    }


def _pieces(
    host: tvm.IRModule, header: Mapping[str, Any], reasons: tuple[str, ...]
) -> tuple[Piece, ...]:
    """Runs of operators on one device, in execution order.

    A CPU piece lists the operators that have a reason of their own; where there is none, it only
    moves the network's input or result to or from integers, and lists what that takes.
    """
    programs = {program["symbol"]: program for program in header.get("programs", [])}
    explained = {line.partition(":")[0] for line in reasons}
    pieces: list[Piece] = []
    waiting: list[tuple[str, str]] = []

    def close_cpu(last: bool) -> None:
        if not waiting:
            return
        name = f"cpu_{sum(piece.device == 'cpu' for piece in pieces)}"
        own = tuple(f"{op} {var}" for op, var in waiting if f"{op} {var}" in explained)
        if own or not programs:
            why = "not for VTA" if programs else "the target is a CPU"
            pieces.append(Piece(name, "cpu", own or _counted(waiting), why))
        else:
            why = "returns the result" if last else "quantises and packs the input"
            pieces.append(Piece(name, "cpu", _counted(waiting), why))
        waiting.clear()

    for binding in _bindings(host):
        value = binding.value
        if not isinstance(value, tvm.ir.Call) or not isinstance(value.op, tvm.ir.Op):
            continue
        if value.op.name == "relax.call_dps_packed":
            close_cpu(last=False)
            program = programs[str(value.args[0].global_symbol)]
            operators = tuple(layer["name"] for layer in program["layers"])
            pieces.append(Piece(program["symbol"], "vta", operators, "fits the accelerator"))
        else:
            operator = value.op.name.removeprefix("relax.").removeprefix("nn.")
            waiting.append((operator, binding.var.name))
    close_cpu(last=True)
    return tuple(pieces)


def _counted(operators: list[tuple[str, str]]) -> tuple[str, ...]:
    """Kinds of operators, each once, with how many there are of it."""
    kinds = Counter(kind for kind, _ in operators)
    return tuple(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())

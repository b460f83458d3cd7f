"""Functions of a plan -> modules: a shared library, and VTA programs measured on the simulator."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.target import Target
from lcp_tvm.cpu.templates import Choose
from lcp_tvm.cpu.tunings import Chooser, cpu_tunings
from lcp_tvm.grouping import Group
from lcp_tvm.manifest import Piece
from lcp_tvm.module_code import ModuleCode
from lcp_tvm.relay_passes.fold_input import fold_input
from lcp_tvm.relay_passes.partition_vta import partition_vta
from lcp_tvm.tunings import NO_TUNINGS, Tunings
from lcp_tvm.vta.codegen import register_codegen
from lcp_tvm.vta.config import VtaConfig, load_config
from lcp_tvm.vta.container import pack_programs, parse_programs
from lcp_tvm.vta.simulator import LayerStats, simulate

WHOLE = "network"
"""The only function of a network that is not split; its programs are called ``vta_0``, ..."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is finished."""

_WEIGHTED = frozenset(("relax.nn.conv2d", "relax.nn.conv2d_transpose", "relax.matmul"))


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModule:
    """A module and what is known of it.

    Attributes
    ----------
    header : the JSON of the VTA programs, empty without any.
    stats : the simulator's counters by program symbol, in the form of docs/architecture.md.
    measured_ms : simulated time of the functions whose layers are all on the VTA.
    peak_bytes : most that maps and scratch of a call's CPU part take, by function.
    tuned : convolutions of the CPU part whose choice was known, and all that have choices.
    """

    code: ModuleCode
    target: Target
    header: Mapping[str, Any]
    stats: Mapping[str, Mapping[str, Any]]
    pieces: tuple[Piece, ...]
    reasons: tuple[str, ...]
    measured_ms: Mapping[str, float]
    peak_bytes: Mapping[str, int]
    tuned: tuple[int, int] = (0, 0)


def lower_group(
    group: Group,
    functions: tvm.IRModule,
    progress: Progress,
    tunings: Tunings = NO_TUNINGS,
) -> CompiledModule:
    """Compile the functions of one module for its target.

    Parameters
    ----------
    functions : Relax functions by name; those of other modules are left alone.
    tunings : of layers, on VTAs and CPUs.

    Raises
    ------
    ModelError
        TVM cannot compile the CPU part.
    """
    own = {name: functions[name] for name in group.functions}
    on_vta = group.target.vta is not None
    part = _partition(group, own, progress, tunings) if on_vta else _Partitioned(own)
    progress(f"compiling CPU code of {group.name}", 0.6 if on_vta else 0.0)
    processor = group.target.processor
    chooser = Chooser(cpu_tunings(tunings, processor), processor.core)
    so, peak_bytes = _build(part.hosts, group.target, chooser)
    return CompiledModule(
        code=ModuleCode(group.name, group.functions, so, part.vta),
        target=group.target,
        header=part.header,
        stats=part.stats,
        pieces=tuple(
            piece
            for name, host in part.hosts.items()
            for piece in _pieces(name, host, part, on_vta)
        ),
        reasons=part.reasons,
        measured_ms={
            name: sum(part.stats[symbol]["ms"] for symbol in symbols)
            for name, host in part.hosts.items()
            if (symbols := _symbols(host)) and not _has_weights(host)
        },
        peak_bytes=peak_bytes,
        tuned=(chooser.tuned, chooser.asked),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Partitioned:
    """What is left of functions for the CPU, and the programs that it calls."""

    hosts: Mapping[str, relax.Function]
    vta: bytes | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    stats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def _partition(
    group: Group, functions: Mapping[str, relax.Function], progress: Progress, tunings: Tunings
) -> _Partitioned:
    """Compile the VTA parts of a module's functions, and run them on the simulator."""
    assert group.target.vta is not None
    config = load_config(group.target.vta)
    hosts: dict[str, relax.Function] = {}
    files: list[bytes] = []
    reasons: dict[str, None] = {}
    for number, (name, function) in enumerate(functions.items()):
        progress(f"scheduling {name} for VTA", 0.5 * number / len(functions))
        hosts[name], data, lines = _compile_vta(name, function, config, tunings)
        files += [data] if data is not None else []
        reasons |= dict.fromkeys(lines)
    if not files:
        return _Partitioned(hosts, reasons=tuple(reasons))
    progress(f"simulating {group.name}", 0.5)
    data = _joined(files, config)
    header, stats = _measure(data, config)
    return _Partitioned(hosts, data, header, stats, tuple(reasons))


def _compile_vta(
    name: str, function: relax.Function, config: VtaConfig, tunings: Tunings
) -> tuple[relax.Function, bytes | None, tuple[str, ...]]:
    """Return what is left for the CPU, the programs, and why operators are not in them."""
    register_codegen()
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    partition = partition_vta(fold_input(module, config.block), config, _prefix(name))
    options = {"config": config.to_json(), "tunings": tunings.text}
    module = relax.transform.RunCodegen({"vta": options})(partition.module)
    made = module.attrs.get("external_mods", []) if module.attrs is not None else []
    if not made:
        return module["main"], None, partition.reasons
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.vta")
        made[0].write_to_file(str(path), "vta")
        return module["main"], path.read_bytes(), partition.reasons


def _prefix(function: str) -> str:
    """What a function's programs and pieces have before their names."""
    return "" if function == WHOLE else f"{function}_"


def _joined(files: Sequence[bytes], config: VtaConfig) -> bytes:
    """All programs as one file."""
    if len(files) == 1:
        return files[0]
    programs: list[Mapping[str, Any]] = []
    images: list[bytes] = []
    for data in files:
        header, parts = parse_programs(data)
        programs += header["programs"]
        images += parts
    return pack_programs(config.to_json(), programs, images)


def _build(
    hosts: Mapping[str, relax.Function], target: Target, choose: Choose
) -> tuple[bytes, dict[str, int]]:
    """Return the library of the CPU parts, and the bytes that a call of each takes."""
    module = tvm.IRModule(
        {name: host.with_attr("global_symbol", name) for name, host in hosts.items()}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.so")
        peak_bytes = build_module(module, target, path, choose)
        return path.read_bytes(), peak_bytes


def _measure(data: bytes, config: VtaConfig) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run every program once on the simulator: that it is legal, and what it costs."""
    header, images = parse_programs(data)
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


def _bindings(function: relax.Function) -> Iterator[relax.Binding]:
    for block in function.body.blocks:
        yield from block.bindings


def _values(function: relax.Function) -> Iterator[Any]:
    return (binding.value for binding in _bindings(function))


def _symbols(function: relax.Function) -> tuple[str, ...]:
    """Return the programs that a function calls."""
    return tuple(dict.fromkeys(filter(None, map(_symbol_of, _values(function)))))


def _symbol_of(value: Any) -> str | None:
    """Return the program that a call runs, None when it is no such call."""
    if _operator(value) != "relax.call_dps_packed":
        return None
    return str(value.args[0].global_symbol)


def _operator(value: Any) -> str:
    """Return the name of the operator that a call calls, "" for anything else."""
    called = isinstance(value, tvm.ir.Call) and isinstance(value.op, tvm.ir.Op)
    return str(value.op.name) if called else ""


def _has_weights(function: relax.Function) -> bool:
    """Whether convolutions or dense layers are left."""
    return any(_operator(value) in _WEIGHTED for value in _values(function))


def _pieces(
    function: str, host: relax.Function, part: _Partitioned, on_vta: bool
) -> tuple[Piece, ...]:
    """Runs of operators on one device, in execution order.

    A CPU piece lists the operators that have a reason of their own; where there is none, it only
    moves a function's arguments or results to or from what VTA takes, and lists what that takes.
    """
    programs = {program["symbol"]: program for program in part.header.get("programs", [])}
    explained = {line.partition(":")[0] for line in part.reasons}
    pieces: list[Piece] = []
    waiting: list[tuple[str, str]] = []

    def close_cpu(last: bool) -> None:
        if not waiting:
            return
        name = f"{_prefix(function)}cpu_{sum(piece.device == 'cpu' for piece in pieces)}"
        own = tuple(f"{op} {var}" for op, var in waiting if f"{op} {var}" in explained)
        if not on_vta:
            why = "the target is a CPU"
        elif own:
            why = "not for VTA"
        elif last:
            why = "returns the result"
        elif pieces:
            why = "cuts and joins maps"
        else:
            why = "quantises and packs the input"
        pieces.append(Piece(function, name, "cpu", own or _counted(waiting), why))
        waiting.clear()

    for binding in _bindings(host):
        symbol, operator = _symbol_of(binding.value), _operator(binding.value)
        if symbol is not None:
            close_cpu(last=False)
            operators = tuple(layer["name"] for layer in programs[symbol]["layers"])
            pieces.append(Piece(function, symbol, "vta", operators, "fits the accelerator"))
        elif operator:
            short = operator.removeprefix("relax.").removeprefix("nn.")
            waiting.append((short, binding.var.name))
    close_cpu(last=True)
    return tuple(pieces)


def _counted(operators: list[tuple[str, str]]) -> tuple[str, ...]:
    """Kinds of operators, each once, with how many there are of it."""
    kinds = Counter(kind for kind, _ in operators)
    return tuple(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())

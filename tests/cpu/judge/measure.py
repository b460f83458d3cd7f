"""Rows of the tables of `benchmarks/cpu.py`."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import tvm

from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.cpu.build import build_module
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.network import Network
from lcp_tvm.plan.run import run_plan
from lcp_tvm.quantise.flow import quantise
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from lcp_tvm.tunings import NO_TUNINGS, Tunings
from tests.cpu.judge.contenders import (
    Array,
    Piece,
    Program,
    integer_layers,
    integer_model,
    onnx_program,
    relative_error,
    session,
)
from tests.cpu.judge.layers import Convolution
from tests.cpu.judge.networks import NETWORKS, load, picture
from tests.cpu.judge.resident import in_new_process, piece, runtime
from tests.cpu.judge.turns import Budget, Clock, beyond_macs, compare, gflops
from tests.reference import evaluate

LARGEST_ERROR = 1e-4
"""Of a float32 result, relative to its largest element."""

TILES = "ftp:5x5@16"

Row = dict[str, str]


class WrongAnswerError(Exception):
    """A piece computes something else than it should: its time means nothing."""


@dataclass(frozen=True, slots=True)
class How:
    """How everything is measured: our target, threads of each contender, and for how long.

    Attributes
    ----------
    tunings : that our pieces are compiled with.
    """

    target: str
    threads: int
    clock: Clock
    budget: Budget
    tunings: Tunings = NO_TUNINGS


def float_row(name: str, how: How) -> Row:
    """A float32 network beside onnxruntime."""
    network = load(name)
    compiled, compile_s = _compile(network, how)
    x = picture(network)
    ours = _whole(compiled, x)
    other = onnx_program(session(NETWORKS[name](), how.threads), {network.input_name: x})
    error = _check_float(name, ours, other)
    return {
        **_row(name, compiled, ours, other, how, compile_s),
        "error": f"{error:.1e}",
        **_of_untuned(network, ours, x, how),
    }


def int8_row(name: str, how: How) -> Row:
    """A quantised network as integers beside the same as onnxruntime's own tools quantise it.

    Of our QDQ export onnxruntime would run no convolution as integers.
    """
    network = load(name)
    x = picture(network)
    quantised = replace(network, module=quantise(network, np.concatenate([x, -x])).module)
    compiled, compile_s = _compile(quantised, how)
    ours = _whole(compiled, x)
    (result,) = ours()
    expected = evaluate(compiled.integer, x)
    if not np.array_equal(result, expected):
        raise WrongAnswerError(
            f"{name}: {np.count_nonzero(result != expected)} of {expected.size} numbers are not "
            "those of the integer network"
        )
    model = integer_model(NETWORKS[name](), x)
    other = onnx_program(session(model, how.threads), {network.input_name: x})
    integer, layers = integer_layers(model)
    return {
        **_row(name, compiled, ours, other, how, compile_s),
        "onnxruntime_differs": f"{relative_error(other()[0], expected):.1e}",
        "onnxruntime_integer_layers": f"{integer}/{layers}",
        **_of_untuned(quantised, ours, x, how),
    }


def _of_untuned(network: Network, ours: Program, x: Array, how: How) -> Row:
    """Our tuned piece beside the same without a database, if there is one."""
    if not how.tunings.text:
        return {}
    untuned = _whole(_compile(network, replace(how, tunings=NO_TUNINGS))[0], x)
    return {"of_untuned": f"{compare(ours, untuned, how.clock, how.budget).ratio:.3f}"}


def layer_rows(layers: Mapping[Convolution, int], how: How, peak: float) -> Iterator[Row]:
    """Each convolution alone, its bias included, beside onnxruntime with a model of one node.

    onnxruntime's time has its changes of layout, which inside a network most layers do not need.
    """
    functions = {f"layer_{number}": layer.module() for number, layer in enumerate(layers)}
    module = tvm.IRModule(
        {
            name: module["main"].with_attr("global_symbol", name)
            for name, module in functions.items()
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "layers.so")
        build_module(module, parse_target(how.target), library)
        piece = Piece(library)
    for (layer, count), (name, alone) in zip(layers.items(), functions.items(), strict=True):
        x = np.random.default_rng(1).normal(size=(1, *layer.data)).astype(np.float32)
        ours = piece.program(name, [x])
        other = onnx_program(session(to_onnx(alone), how.threads), {"image": x})
        error = _check_float(str(layer), ours, other)
        times = compare(ours, other, how.clock, how.budget)
        speed = gflops(layer.macs, times.ours_s)
        other_speed = gflops(layer.macs, times.other_s)
        yield {
            "layer": str(layer),
            "times": str(count),
            "mmacs": f"{layer.macs / 1e6:.1f}",
            "ours_ms": _ms(times.ours_s),
            "onnxruntime_ms": _ms(times.other_s),
            "ratio": f"{times.ratio:.2f}",
            "ours_gflops": f"{speed:.1f}",
            "onnxruntime_gflops": f"{other_speed:.1f}",
            "ours_of_peak": f"{speed / peak:.2f}",
            "onnxruntime_of_peak": f"{other_speed / peak:.2f}",
            "error": f"{error:.1e}",
        }


def tiles_row(name: str, how: How) -> Row:
    """All tiles of a grid one after another beside the unsplit network, both ours."""
    network = load(name)
    whole, _ = _compile(network, how)
    tiles, _ = _compile(network, how, TILES)
    pieces = _pieces(tiles)
    x = picture(network)
    unsplit = _whole(whole, x)
    programs: list[Program] = []

    def call(function: str, arguments: Sequence[Array]) -> list[Array]:
        programs.append(pieces[function].program(function, arguments))
        return programs[-1]()

    (joined,) = run_plan(tiles.plan, call, {tiles.plan.inputs[0]: x}).values()
    error = _check_float(TILES, lambda: [joined], unsplit)
    times = compare(lambda: [program() for program in programs], unsplit, how.clock, how.budget)
    macs, whole_macs = _macs(tiles), _macs(whole)
    beyond = beyond_macs(times.ours_s, times.other_s, macs, whole_macs)
    return {
        "network": name,
        "split": TILES,
        "tiles_ms": _ms(times.ours_s),
        "whole_ms": _ms(times.other_s),
        "ratio": f"{times.ratio:.3f}",
        "macs_ratio": f"{macs / whole_macs:.3f}",
        "beyond_macs": f"{beyond:.3f}",
        "rounds": str(len(times.ours)),
        "error": f"{error:.1e}",
    }


def memory_row(name: str, how: How) -> Row:
    """What a float32 piece takes of memory beside onnxruntime."""
    network = load(name)
    compiled, _ = _compile(network, how)
    x = picture(network)
    with tempfile.TemporaryDirectory() as folder:
        library, model = Path(folder, "network.so"), Path(folder, "network.onnx")
        (module,) = compiled.modules
        library.write_bytes(module.code.so)
        onnx.save(NETWORKS[name](), model)
        ours, other = in_new_process(piece, library, x), in_new_process(runtime, model, x)
    weights = sum(function.cost.weight_bytes for function in compiled.plan.functions.values())
    return {
        "network": name,
        "weights_mb": f"{weights / 1e6:.1f}",
        "ours_mb": f"{ours:.1f}",
        "onnxruntime_mb": f"{other:.1f}",
        "ratio": f"{ours / other:.3f}",
    }


def _row(
    name: str, compiled: Compiled, ours: Program, other: Program, how: How, compile_s: float
) -> Row:
    times = compare(ours, other, how.clock, how.budget)
    macs = _macs(compiled)
    row: Row = {
        "network": name,
        "mmacs": f"{macs / 1e6:.1f}",
        "ours_ms": _ms(times.ours_s),
        "onnxruntime_ms": _ms(times.other_s),
        "ratio": f"{times.ratio:.3f}",
        "ours_gflops": f"{gflops(macs, times.ours_s):.1f}",
        "onnxruntime_gflops": f"{gflops(macs, times.other_s):.1f}",
        "rounds": str(len(times.ours)),
        "compile_s": f"{compile_s:.1f}",
    }
    if how.threads > 1:
        processor = compare(ours, other, time.process_time, how.budget)
        row["processor_ratio"] = f"{processor.ratio:.3f}"
    return row


def _compile(network: Network, how: How, split: str | None = None) -> tuple[Compiled, float]:
    """The network for our target, and the processor time that took, the linker's included."""
    begin = _processor_s()
    spec = parse_split(split) if split else None
    compiled = compile_network(network, parse_targets(how.target), split=spec, tunings=how.tunings)
    return compiled, _processor_s() - begin


def _processor_s() -> float:
    return sum(os.times()[:4])


def _pieces(compiled: Compiled) -> dict[str, Piece]:
    """The loaded module of each function of the plan."""
    pieces: dict[str, Piece] = {}
    with tempfile.TemporaryDirectory() as folder:  # a loaded library needs no name
        for module in compiled.modules:
            library = Path(folder, f"{module.code.name}.so")
            library.write_bytes(module.code.so)
            pieces |= dict.fromkeys(module.code.functions, Piece(library))
    return pieces


def _whole(compiled: Compiled, x: Array) -> Program:
    """The one function of an unsplit network."""
    ((function, piece),) = _pieces(compiled).items()
    return piece.program(function, [x])


def _check_float(what: str, ours: Program, other: Program) -> float:
    """Compare answers; return the error."""
    error = relative_error(ours()[0], other()[0])
    if not error <= LARGEST_ERROR:
        raise WrongAnswerError(f"{what}: off by {error:.1e}, {LARGEST_ERROR:.0e} is allowed")
    return error


def _macs(compiled: Compiled) -> int:
    plan = compiled.plan
    return sum(plan.functions[task.function].cost.macs for task in plan.tasks)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g}"

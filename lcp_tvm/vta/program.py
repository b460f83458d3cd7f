"""From a graph of layers to one ahead-of-time program: instructions, image, memory map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np

from lcp_tvm.facts import facts_of
from lcp_tvm.vta.beside_arm import compare
from lcp_tvm.vta.bound import bound_of
from lcp_tvm.vta.concat import by_address
from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.emit_conv import conv_shape, emit_conv
from lcp_tvm.vta.emit_exchange import emit_exchange
from lcp_tvm.vta.emit_pool import emit_pool
from lcp_tvm.vta.emitter import Emitter
from lcp_tvm.vta.exchange import Exchange, exchange_of
from lcp_tvm.vta.isa import Instruction, Load, Memory, Store, encode_micro_ops, encode_stream
from lcp_tvm.vta.layer import Concat, Conv, Graph, MaxPool, Node
from lcp_tvm.vta.memory import Lifetime, elements, lifetimes, place
from lcp_tvm.vta.packing import constant_input
from lcp_tvm.vta.search import price
from lcp_tvm.vta.step import Section, Space, Step
from lcp_tvm.vta.tiling import ConvShape, Tiling
from lcp_tvm.vta.tokens import weave

_INSTRUCTION_BYTES = 16
UOP_BYTES = 4
NO_TILINGS: Mapping[ConvShape, Tiling] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A program for one config; ``header`` is its entry in a ``.vta`` file's JSON."""

    header: dict[str, Any]
    image: bytes
    steps: tuple[Step, ...]


def build_program(
    graph: Graph, config: VtaConfig, tilings: Mapping[ConvShape, Tiling] = NO_TILINGS
) -> Program:
    """Schedule, place and encode a graph.

    Parameters
    ----------
    graph : layers that `support` accepts, in execution order.
    config : the accelerator.
    tilings : of convolutions of these shapes, where they fit; else the best that `search` finds.

    Returns
    -------
    The program; its image holds instructions, micro-ops and weights from address 0 up, and
    activations follow behind it.
    """
    graph, slices = by_address(graph, config)
    exchanges = [exchange_of(node.layer, config) for node in graph.nodes]
    scratch = tuple(
        _scratch(node, step, exchange, config)
        for step, (node, exchange) in enumerate(zip(graph.nodes, exchanges, strict=True))
        if exchange is not None
    )
    places, activation_size = place((*lifetimes(graph, slices, config), *scratch))
    offsets = {name: places[part.whole] + part.offset for name, part in slices.items()}
    offsets |= {memory.name: places[memory.name] for memory in scratch}
    known = _known_tilings(graph, config, tilings)
    emitter = Emitter(config)
    emitter.load_constant(0)
    weights: list[np.ndarray] = []
    weight_count = 0
    weight_ranges: list[tuple[str, int, int]] = []
    for index, node in enumerate(graph.nodes):
        emitter.layer = index
        how = exchanges[index] or known.get(node.layer.name)
        packed = _emit(emitter, node, how, offsets, weight_count)
        weight_ranges.append((node.layer.name, weight_count, len(packed)))
        weights.append(packed)
        weight_count += len(packed)

    steps = weave(
        emitter.steps,
        {
            Space.INP: config.inp_depth,
            Space.WGT: config.wgt_depth,
            Space.OUT: config.acc_depth,
            Space.DRAM: max(activation_size, 1),
        },
    )
    # A program that only concatenates has no micro-ops, no weights, no layers.
    words = np.concatenate([np.empty((0, 3), np.int32), *emitter.uops.words])
    sizes = {
        Section.INSTRUCTION: len(steps) * _INSTRUCTION_BYTES,
        Section.UOP: len(words) * UOP_BYTES,
        Section.WEIGHT: weight_count * config.wgt_elem_bytes,
        Section.CONSTANT: config.inp_elem_bytes,
        Section.ACTIVATION: activation_size * config.inp_elem_bytes,
    }
    bases, dram_size = _lay_out(sizes, config)
    image = bytearray(bases[Section.ACTIVATION])
    for section, data in (
        (Section.INSTRUCTION, encode_stream(_relocated(steps, bases, config), config)),
        (Section.UOP, encode_micro_ops(words, config)),
        (Section.WEIGHT, b"".join(packed.tobytes() for packed in weights)),
        (Section.CONSTANT, np.tile(constant_input(config.block), config.batch).tobytes()),
    ):
        image[bases[section] : bases[section] + len(data)] = data

    def address_of(name: str) -> int:
        return bases[Section.ACTIVATION] + offsets[name] * config.inp_elem_bytes

    def tensor_entry(name: str) -> dict[str, Any]:
        return {"name": name, "addr": address_of(name), "shape": list(graph.shapes[name])}

    fixed = (Section.INSTRUCTION, Section.UOP, Section.CONSTANT)
    buffers = [_buffer(section.value, bases[section], sizes[section]) for section in fixed]
    buffers += [
        _buffer(
            f"weights of {name}",
            bases[Section.WEIGHT] + begin * config.wgt_elem_bytes,
            count * config.wgt_elem_bytes,
        )
        for name, begin, count in weight_ranges
    ]
    buffers += [
        _buffer(name, address_of(name), elements(graph, name, config) * config.inp_elem_bytes)
        for name in slices
    ]
    buffers += [
        _buffer(memory.name, address_of(memory.name), memory.size * config.inp_elem_bytes)
        for memory in scratch
    ]
    header = {
        "symbol": graph.symbol,
        "dram_size": dram_size,
        "insn_addr": bases[Section.INSTRUCTION],
        "insn_count": len(steps),
        "inputs": [tensor_entry(name) for name in graph.inputs],
        "outputs": [tensor_entry(name) for name in graph.outputs],
        "buffers": buffers,
        "layers": _layer_ranges(graph, steps, config, known),
    }
    return Program(header, bytes(image), tuple(steps))


def _known_tilings(
    graph: Graph, config: VtaConfig, tilings: Mapping[ConvShape, Tiling]
) -> dict[str, Tiling]:
    """Return tilings that fit, by the names of their layers."""
    known = {}
    for layer in (node.layer for node in graph.nodes if isinstance(node.layer, Conv)):
        shape = conv_shape(layer, config)
        tiling = tilings.get(shape)
        if tiling is not None and price(shape, tiling, config) is not None:
            known[layer.name] = tiling
    return known


def _scratch(node: Node, step: int, exchange: Exchange, config: VtaConfig) -> Lifetime:
    """Memory that an exchanged layer needs; aligned for weights, wherever it is placed."""
    size = exchange.scratch(config.block) + config.block - 1
    return Lifetime(_scratch_name(node), size, step, step)


def _scratch_name(node: Node) -> str:
    return f"scratch of {node.output}"


def _emit(
    emitter: Emitter,
    node: Node,
    how: Exchange | Tiling | None,
    offsets: Mapping[str, int],
    weight_base: int,
) -> np.ndarray:
    layer, source, target = node.layer, offsets[node.inputs[0]], offsets[node.output]
    if isinstance(layer, MaxPool):
        return emit_pool(emitter, layer, source, target, weight_base)
    assert isinstance(layer, Conv), "concatenations are addresses"
    if isinstance(how, Exchange):
        block = emitter.config.block
        scratch = -(-offsets[_scratch_name(node)] // block) * block
        return emit_exchange(emitter, layer, how, (source, scratch, target), weight_base)
    skip = offsets[node.inputs[1]] if len(node.inputs) > 1 else None
    return emit_conv(emitter, layer, source, skip, target, weight_base, how)


def _relocated(
    steps: list[Step], bases: dict[Section, int], config: VtaConfig
) -> list[Instruction]:
    """Instructions with their sections' addresses added, in elements of their memory."""
    element = {
        Memory.UOP: UOP_BYTES,
        Memory.WGT: config.wgt_elem_bytes,
        Memory.INP: config.inp_elem_bytes,
    }
    result: list[Instruction] = []
    for step in steps:
        instruction = step.instruction
        if step.section is not None and isinstance(instruction, (Load, Store)):
            memory = instruction.memory if isinstance(instruction, Load) else Memory.INP
            base = bases[step.section] // element[memory]
            instruction = replace(instruction, dram_base=instruction.dram_base + base)
        result.append(instruction)
    return result


def _lay_out(sizes: dict[Section, int], config: VtaConfig) -> tuple[dict[Section, int], int]:
    """Byte addresses of sections one after the other, aligned for every element size."""
    align = max(config.wgt_elem_bytes, config.acc_elem_bytes)
    bases, end = {}, 0
    for section, size in sizes.items():
        bases[section] = end
        end += -(-size // align) * align
    return bases, end


def _buffer(name: str, address: int, size: int) -> dict[str, Any]:
    dtype = {"instructions": "uint128", "micro-ops": "uint32"}.get(name, "int8")
    return {"name": name, "addr": address, "size": size, "dtype": dtype}


def _layer_ranges(
    graph: Graph,
    steps: list[Step],
    config: VtaConfig,
    known: Mapping[str, Tiling],
) -> list[dict[str, Any]]:
    """First instruction and count of every layer; no-ops belong to the layer before them."""
    if not graph.nodes:
        return []
    owners, current = [], 0
    for step in steps:
        current = max(current, step.layer)
        owners.append(current)
    ranges, first = [], 0
    for owner, run in groupby(owners):
        count = len(list(run))
        layer = graph.nodes[owner].layer
        assert not isinstance(layer, Concat), "concatenations are addresses"
        entry = {
            "name": layer.name,
            "kind": layer.kind,
            "first": first,
            "count": count,
            "macs": layer.macs,
            "bound": ceil(bound_of(layer, config).cycles),
        }
        beside = compare(layer, config)
        if beside:
            entry["arm_us"] = round(1e3 * beside.arm_ms)
        if isinstance(layer, Conv):
            entry["facts"] = facts_of(layer)
            entry["tuned"] = layer.name in known
        ranges.append(entry)
        first += count
    return ranges

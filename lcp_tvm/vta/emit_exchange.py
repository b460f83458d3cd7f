"""An exchanged dense layer (`exchange`) as instructions.

    spread x | load two tiles | load a chunk of x | reset | multiply, load a tile | .. | clip, store
    | load stored outputs | gather | store

Every tile of weights is loaded while the one before it is multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from lcp_tvm.vta.conv_schedule import Slots
from lcp_tvm.vta.emitter import Emitter
from lcp_tvm.vta.epilogue import alu_steps
from lcp_tvm.vta.exchange import GATHERED, SPREAD, Exchange
from lcp_tvm.vta.layer import Conv
from lcp_tvm.vta.nest import ONE_UOP, Dim, Nest, elementwise
from lcp_tvm.vta.packing import constant_input, pack_bias
from lcp_tvm.vta.step import Range, Space
from lcp_tvm.vta.tiling import Span, cut, spans
from lcp_tvm.vta.transfers import Transfer


@dataclass(frozen=True, slots=True)
class _Tile:
    """Weights of some outputs: ``part`` of a chunk of their blocks."""

    group: Span
    outputs: Span
    chunk: Span
    part: Span

    @property
    def size(self) -> int:
        return self.outputs.size * self.part.size


def emit_exchange(
    emitter: Emitter,
    layer: Conv,
    exchange: Exchange,
    addresses: tuple[int, int, int],
    weight_base: int,
) -> np.ndarray:
    """Append an exchanged layer's instructions.

    Parameters
    ----------
    addresses : element addresses of its input, scratch memory and output in their section; that
        of the scratch memory is a multiple of BLOCK.
    weight_base : element address of the layer's weights in theirs.

    Returns
    -------
    The packed weights, int8 ``[elements, BLOCK_OUT, BLOCK_IN]``: an identity, the constants that a
    bias meets, then input elements: the first unit vector and the tiles in the order of their use.
    """
    return _Emission(emitter, layer, exchange, addresses, weight_base).run()


@dataclass(slots=True)
class _Emission:
    """An exchanged layer while it is emitted, and where things lie on chip."""

    emitter: Emitter
    layer: Conv
    exchange: Exchange
    addresses: tuple[int, int, int]
    weight_base: int
    identity: Range = field(init=False)
    chunks: Slots = field(init=False)
    gathered: Range = field(init=False)
    unit: Range = field(init=False)
    piece: Range = field(init=False)
    tiles: tuple[int, int] = field(init=False)
    accs: Slots = field(init=False)

    def __post_init__(self) -> None:
        exchange, emitter = self.exchange, self.emitter
        size = 1 + GATHERED + exchange.chunk * exchange.chunk_slots
        self.identity = Range(Space.WGT, emitter.reserve(Space.WGT, size), 1)
        self.gathered = Range(Space.WGT, self.identity.start + 1, GATHERED)
        begin = self.gathered.start + GATHERED
        self.chunks = Slots(begin, exchange.chunk, exchange.chunk_slots)
        begin = emitter.reserve(Space.INP, 1 + SPREAD + 2 * exchange.tile)
        self.unit = Range(Space.INP, begin, 1)
        self.piece = Range(Space.INP, begin + 1, SPREAD)
        self.tiles = begin + 1 + SPREAD, begin + 1 + SPREAD + exchange.tile
        size = max(exchange.group, SPREAD, GATHERED)
        self.accs = Slots(emitter.reserve(Space.OUT, 2 * size), size, 2)

    def run(self) -> np.ndarray:
        """Emit everything; the packed weights."""
        emitter, block = self.emitter, self.emitter.config.block
        emitter.load_weights(self.identity.start, self.weight_base, 1)
        self._spread()
        weights, packed = self._weights(), [_unit(block)]
        tiles, loaded, at = list(self._order()), 0, (1 + self.exchange.bias) * block
        for number, tile in enumerate(tiles):
            for ahead in tiles[loaded : number + 2]:
                values = weights[_slice(ahead.outputs), _slice(ahead.part)].reshape(-1, block)
                # The unit vector comes along with the first tile.
                where, size = self._slot(loaded), ahead.size
                if loaded == 0:
                    self._load_packed(self.unit.start, at, 1)
                    at += 1
                self._load_packed(where, at, size)
                packed.append(values)
                at += size
                loaded += 1
            self._multiply(number, tile)
        self._gather()
        constants = np.zeros((1 + self.exchange.bias, block, block), dtype=np.int8)
        constants[0] = np.eye(block)
        constants[1:, 0] = constant_input(block)
        elements = np.concatenate([constants.reshape(-1, block), *packed])
        rest = -len(elements) % block
        return np.pad(elements, ((0, rest), (0, 0))).reshape(-1, block, block)

    def _weights(self) -> np.ndarray:
        """Weights and bias of all outputs, int8 ``[outputs, inputs + bias, BLOCK]``."""
        block, exchange = self.emitter.config.block, self.exchange
        outputs, channels, height, width = self.layer.weight.shape
        padding = ((0, exchange.outputs - outputs), (0, -channels % block), (0, 0), (0, 0))
        kernel = np.pad(self.layer.weight, padding)
        kernel = kernel.reshape(exchange.outputs, -1, block, height, width)
        kernel = kernel.transpose(0, 1, 3, 4, 2).reshape(exchange.outputs, -1, block)
        if exchange.bias == 0:
            return kernel
        bias = np.pad(self.layer.bias, (0, exchange.outputs - outputs))
        parts = pack_bias(bias, exchange.bias, block).reshape(-1, exchange.outputs, block)
        return np.concatenate([kernel, parts.transpose(1, 0, 2)], axis=1)

    def _order(self) -> Iterator[_Tile]:
        for group in self.exchange.groups:
            whole = Span(group[0].begin, group[-1].end)
            for chunk in self.exchange.chunks:
                for outputs in group:
                    for part in cut(chunk, self.exchange.part):
                        yield _Tile(whole, outputs, chunk, part)

    def _slot(self, number: int) -> int:
        return self.tiles[number % 2]

    def _load_packed(self, slot: int, at: int, count: int) -> None:
        block = self.emitter.config.block
        self.emitter.load_packed_inputs(slot, self.weight_base * block + at, count)

    def _spread(self) -> None:
        """Store every block of x where the first row of a weight element lies."""
        emitter, block = self.emitter, self.emitter.config.block
        source, scratch, _ = self.addresses
        for piece in spans(self.exchange.inputs, SPREAD):
            begin, _ = self.accs.take(("spread", piece))
            acc = Range(Space.OUT, begin, piece.size)
            operand = Range(Space.INP, self.piece.start, piece.size)
            run = Transfer(0, piece.begin, 1, piece.size, piece.size)
            emitter.load_inputs(operand.start, source, run)
            emitter.reset(acc)
            emitter.gemm(elementwise(piece.size), acc, operand, self.identity)
            emitter.store(begin, scratch, Transfer(0, piece.begin * block, piece.size, 1, block))

    def _multiply(self, number: int, tile: _Tile) -> None:
        emitter, exchange = self.emitter, self.exchange
        begin, _ = self.accs.take(tile.group)
        group = Range(Space.OUT, begin, tile.group.size)
        if tile.part.begin == 0 and tile.outputs.begin == tile.group.begin:
            emitter.reset(group)
        slot, there = self.chunks.take(tile.chunk)
        if not there:
            self._load_chunk(slot, tile.chunk)
        acc = Range(Space.OUT, begin + tile.outputs.begin - tile.group.begin, tile.outputs.size)
        weights = Range(Space.INP, self._slot(number), tile.size)
        x = Range(Space.WGT, slot + tile.part.begin - tile.chunk.begin, tile.part.size)
        inner = Dim(tile.outputs.size, 1, tile.part.size, 0)
        emitter.gemm(Nest(Dim(tile.part.size, 0, 1, 1), inner, ONE_UOP), acc, weights, x)
        if tile.part.end == exchange.inputs + exchange.bias and tile.outputs.end == tile.group.end:
            for step in alu_steps(self.layer.requantise):
                assert isinstance(step.operand, int)
                emitter.alu(step.op, group, step.operand)
            rows = self.addresses[1] + exchange.inputs * emitter.config.block
            run = Transfer(0, tile.group.begin, 1, group.size, group.size)
            emitter.store(begin, rows, run)

    def _load_chunk(self, slot: int, chunk: Span) -> None:
        """Load a chunk of x, and the constants of a bias behind it."""
        inputs, block = self.exchange.inputs, self.emitter.config.block
        own = Span(chunk.begin, min(chunk.end, inputs))
        if own.size > 0:
            begin = self.addresses[1] + own.begin * block
            self.emitter.load_activation_weights(slot, begin, own.size)
        constants = min(chunk.size, chunk.end - inputs)
        if constants > 0:
            behind = slot + chunk.size - constants
            self.emitter.load_weights(behind, self.weight_base + 1, constants)

    def _gather(self) -> None:
        """Take the first lanes of BLOCK elements together to one."""
        emitter, block = self.emitter, self.emitter.config.block
        _, scratch, target = self.addresses
        rows = scratch + self.exchange.inputs * block
        for piece in spans(self.exchange.outputs // block, GATHERED):
            begin, _ = self.accs.take(("gather", piece))
            acc = Range(Space.OUT, begin, piece.size)
            weights = Range(Space.WGT, self.gathered.start, piece.size)
            emitter.load_activation_weights(weights.start, rows + piece.begin * block, piece.size)
            emitter.reset(acc)
            emitter.gemm(Nest(Dim(1, 0, 0, 0), Dim(piece.size, 1, 0, 1), ONE_UOP),
                         acc, self.unit, weights)  # fmt: skip
            emitter.store(begin, target, Transfer(0, piece.begin, 1, piece.size, piece.size))


def _unit(block: int) -> np.ndarray:
    """The first unit vector as an input element."""
    return np.eye(1, block, dtype=np.int8)


def _slice(span: Span) -> slice:
    return slice(span.begin, span.end)

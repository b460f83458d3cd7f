"""Fused tile partitioning: a stack of layers as a grid of tiles that need nothing of each other.

    input --crop n x m overlapping regions--> tile stacks --n x m disjoint regions--> head

DeepThings, Algorithm 1, for any operator that `slicing` has a rule for. With reuse, tiles whose
row and column are both even or both odd come first and give what they share with the tiles
beside them, which then compute only the rest (section IV-C); those can still do without. Of each
kind the tiles with the most work come first, where DeepThings has those with the least overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.box import Range, box_shape, full_box
from lcp_tvm.plan.plan import GATEWAY, Region
from lcp_tvm.relay_passes.grid import even_ranges
from lcp_tvm.relay_passes.network_graph import GLOBAL, Constant, NetworkGraph, Node
from lcp_tvm.relay_passes.piece import Part, Piece, carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder, computed_outputs, whole

Place = tuple[int, int]
"""Row and column in the grid."""


def split_ftp(
    graph: NetworkGraph,
    name: str,
    grid: tuple[int, int],
    depth: int | None = None,
    *,
    reuse: bool = False,
) -> Split:
    """Split the first layers into a grid of tiles; the gateway computes the rest.

    Parameters
    ----------
    grid : rows and columns of tiles.
    depth : layers (convolutions and pools) to fuse; where a residual block ends later, up to its
        end. None takes the depth at which the largest tile and the rest together are the least.
    reuse : tiles give their neighbours what both need.

    Raises
    ------
    PlanError
        The network has no such depth.
    """
    end = end_at_depth(graph, depth) if depth is not None else _best_end(graph, grid)
    tiles = {place: _tile(graph, end, place, grid) for place in _places(graph, end, grid)}
    builder = SplitBuilder(graph)
    if reuse:
        _add_with_reuse(builder, tiles)
    else:
        for place, piece in tiles.items():
            builder.add(_name(place), piece, function="tile")
    rest = [index for index in computed_outputs(graph) if index != end]
    if rest:
        head = carve(graph, whole(graph, rest), {end})
        builder.add("head", head, function="head", device=GATEWAY)
    layers = graph.layers_before(end)
    text = f"ftp:{grid[0]}x{grid[1]}@{layers}" + (":reuse" if reuse else "")
    return builder.finish(name, text, devices=len(tiles))


def fusible_ends(graph: NetworkGraph) -> tuple[int, ...]:
    """Return the layer ends up to which tiles can be fused: maps [.., H, W] made of maps.

    An operator without rows and columns, such as a mean or a dense layer, ends the stack.
    """
    ends = []
    for end in graph.layer_ends():
        if any(len(node.shape) < 4 or node.op in GLOBAL for node in graph.nodes[: end + 1]):
            break
        if graph.layers_before(end) and len(graph.nodes[end].shape) == 4:
            ends.append(end)
    return tuple(ends)


def end_at_depth(graph: NetworkGraph, depth: int) -> int:
    """Return the first end of so many layers that can be fused, or of more."""
    ends = fusible_ends(graph)
    for end in ends:
        if graph.layers_before(end) >= depth > 0:
            return end
    depths = ", ".join(str(graph.layers_before(end)) for end in ends) or "none"
    raise PlanError(f"the network has no fuse depth {depth}; possible are {depths}")


def _best_end(graph: NetworkGraph, grid: tuple[int, int]) -> int:
    """Return the end at which the largest tile's work and the head's are the least together."""
    ends = fusible_ends(graph)
    if not ends:
        raise PlanError(
            "ftp: the network has no layers that can be fused; none ends in a map before an "
            "operator that needs its whole input"
        )
    total = carve(graph, whole(graph, graph.outputs), graph.inputs).macs

    def makespan(end: int) -> int:
        stack = carve(graph, whole(graph, [end]), graph.inputs).macs
        middle = (grid[0] // 2, grid[1] // 2)
        places = _places(graph, end, grid)
        tile = _tile(graph, end, middle if middle in places else places[-1], grid)
        return tile.macs + total - stack

    return min(ends, key=lambda end: (makespan(end), -end))


def _places(graph: NetworkGraph, end: int, grid: tuple[int, int]) -> list[Place]:
    """Return the places of the grid, row by row; a map smaller than the grid has fewer."""
    _, _, height, width = graph.nodes[end].shape
    rows, columns = even_ranges(height, grid[0]), even_ranges(width, grid[1])
    return [(row, column) for row in range(len(rows)) for column in range(len(columns))]


def _tile(graph: NetworkGraph, end: int, place: Place, grid: tuple[int, int]) -> Piece:
    return carve(graph, [_target(graph, end, place, grid)], graph.inputs)


def _target(graph: NetworkGraph, end: int, place: Place, grid: tuple[int, int]) -> Part:
    frames, channels, height, width = graph.nodes[end].shape
    rows: Range = even_ranges(height, grid[0])[place[0]]
    columns: Range = even_ranges(width, grid[1])[place[1]]
    return Part(end, ((0, frames), (0, channels), rows, columns))


def _name(place: Place) -> str:
    return f"tile_{place[0]}_{place[1]}"


@dataclass(frozen=True, slots=True)
class _Strip:
    """What a tile gives to a neighbour: a part of a node, as a tensor of its own."""

    giver: Place
    taker: Place
    part: Part

    def region(self, graph: NetworkGraph) -> Region:
        """Return the whole of the strip's tensor."""
        node = graph.nodes[self.part.node].name
        tensor = f"{node}@{self.giver[0]},{self.giver[1]}>{self.taker[0]},{self.taker[1]}"
        return Region(tensor, full_box(box_shape(self.part.box)))


def _add_with_reuse(builder: SplitBuilder, tiles: dict[Place, Piece]) -> None:
    """Add the tiles in order of dependence: givers, then takers, the most work of each first.

    Whoever is last then has little left to do, while others wait for it.
    """
    graph = builder.graph
    shared = _shared_nodes(graph, next(iter(tiles.values())))
    takers: dict[Place, Piece] = {}
    strips: list[_Strip] = []
    for place, alone in tiles.items():
        if not _takes(place):
            continue
        givers, given = _offers(place, tiles, shared)
        piece = carve(graph, alone.writes, graph.inputs, given)
        takers[place] = piece
        parts = piece.reads[len(piece.reads) - len(piece.borrowed) :]
        strips += [
            _Strip(givers[number], place, part)
            for number, part in zip(piece.borrowed, parts, strict=True)
        ]
    work = {place: takers.get(place, alone).macs for place, alone in tiles.items()}
    for place in sorted(tiles, key=lambda p: (_takes(p), -work[p], p)):
        alone = tiles[place]
        if place in takers:
            piece = takers[place]
            own = [builder.region(part) for part in piece.reads[: -len(piece.borrowed) or None]]
            taken = [strip.region(graph) for strip in strips if strip.taker == place]
            fallback = alone if taken else None
            builder.add(_name(place), piece, function="rest", reads=own + taken, fallback=fallback)
            continue
        gives = [strip for strip in strips if strip.giver == place]
        piece = carve(graph, [*alone.writes, *(strip.part for strip in gives)], graph.inputs)
        tile = builder.region(alone.writes[0])
        builder.add(
            _name(place),
            piece,
            function="tile",
            writes=[tile, *(strip.region(graph) for strip in gives)],
        )


def _takes(place: Place) -> bool:
    """Whether a tile waits for its neighbours."""
    return (place[0] + place[1]) % 2 == 1


def _offers(
    place: Place, tiles: dict[Place, Piece], shared: frozenset[int]
) -> tuple[list[Place], list[Part]]:
    """Return what the tiles beside a tile compute of the shared nodes, and who does.

    Left and right come first: they are as high as the tile, so the others need only give what
    lies between them.
    """
    row, column = place
    beside = [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]
    givers: list[Place] = []
    given: list[Part] = []
    for giver in beside:
        if giver in tiles:
            parts: Sequence[Part] = [p for p in tiles[giver].computed if p.node in shared]
            given += parts
            givers += [giver] * len(parts)
    return givers, given


def _shared_nodes(graph: NetworkGraph, tile: Piece) -> frozenset[int]:
    """Return the nodes whose overlaps are worth giving: windows read them, and work made them."""
    computed = {part.node for part in tile.computed}
    worked: set[int] = set()
    for index in sorted(computed):
        node = graph.nodes[index]
        if node.is_anchor or worked.intersection(o for o in node.operands if isinstance(o, int)):
            worked.add(index)
    return frozenset(
        operand
        for index in computed
        if _has_window(graph, graph.nodes[index])
        for operand in graph.nodes[index].operands[:1]
        if isinstance(operand, int) and operand in worked
    )


def _has_window(graph: NetworkGraph, node: Node) -> bool:
    """Whether neighbouring results read the same elements."""
    if node.op == "nn.conv2d":
        weight = node.operands[1]
        shape = weight.shape if isinstance(weight, Constant) else graph.nodes[weight].shape
        sides = zip(shape[2:], node.call.attrs.strides, strict=True)
    elif node.op in ("nn.max_pool2d", "nn.avg_pool2d"):
        sides = zip(node.call.attrs.pool_size, node.call.attrs.strides, strict=True)
    else:
        return False
    return any(int(kernel) > int(stride) for kernel, stride in sides)

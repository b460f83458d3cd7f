"""Make table.md and the figures of runs.csv.

    python examples/lcp_fashion_mnist/table.py

table.md is our Table 2 of LCP; split.png and fattened.png are our figures 9 and 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from networks import NETWORKS
from rows import HERE, RUNS, Row, read_rows
from variants import BRANCHES, FATTENED, VARIANTS

ALLOWED = {"split2": 0.5, "split4": 1.0, "split8": 2.0, "split8-f40": 0.5}
"""Points that a variant may lose of its original."""

ALLOWED_KIND = {"distilled": 0.5, "int8": 0.3, "pruned45": 0.5}
"""Points that a variant may lose of the branches that it is compared with."""

COLOURS = dict(zip(NETWORKS, ("tab:gray", "tab:blue", "tab:green", "tab:orange"), strict=True))
HEAD = ("network", "variant", "seeds", "accuracy %", "spread", "points", "of", "allowed",
        "int8 %", "points", "parameters", "fewer", "MACs", "fewer")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A variant of a network over all seeds.

    Attributes
    ----------
    accuracies : percent, by seed.
    differences : points more than what it is compared with, of seeds that both have.
    int8 : percent, by seed, of the network compiled for VTA.
    original : what it is a variant of, to compare parameters and MACs; a row of any seed.
    """

    network: str
    variant: str
    accuracies: tuple[float, ...]
    differences: tuple[float, ...]
    int8: tuple[float, ...]
    row: Row
    original: Row


def reference(variant: str) -> str:
    """Return what a variant is compared with: the original, or what it only makes smaller."""
    name, _, kind = variant.partition("-")
    return name if kind and not kind.startswith("f") else "original"


def allowed(variant: str) -> float | None:
    """Return the points that a variant may lose, where a bound is set."""
    return ALLOWED.get(variant, ALLOWED_KIND.get(variant.partition("-")[2]))


def lines(rows: Sequence[Row]) -> list[Line]:
    """Gather the seeds of each variant; those whose original is not there yet are left out."""
    found = {(row.network, row.variant, row.seed): row for row in rows}
    result = []
    for network in NETWORKS:
        originals = [row for row in rows if (row.network, row.variant) == (network, "original")]
        for variant in VARIANTS:
            own = [row for row in rows if (row.network, row.variant) == (network, variant)]
            if not own or not originals:
                continue
            own.sort(key=lambda row: row.seed)
            pairs = [(row, found.get((network, reference(variant), row.seed))) for row in own]
            differences = tuple(row.accuracy - base.accuracy for row, base in pairs if base)
            accuracies = tuple(row.accuracy for row in own)
            int8 = tuple(row.int8 for row in own)
            result.append(
                Line(network, variant, accuracies, differences, int8, own[0], originals[0])
            )
    return result


def markdown(table: Sequence[Line]) -> str:
    """Return the table; spread is the largest accuracy less the smallest."""
    cells = [HEAD, ("---",) * 2 + ("---:",) * 4 + ("---",) + ("---:",) * 7]
    for line in table:
        bound = allowed(line.variant)
        difference = ""
        if line.variant != "original" and line.differences:
            difference = f"{mean(line.differences):+.2f}"
        cells.append(
            (
                line.network,
                line.variant,
                str(len(line.accuracies)),
                f"{mean(line.accuracies):.2f}",
                f"{max(line.accuracies) - min(line.accuracies):.2f}",
                difference,
                reference(line.variant) if difference else "",
                "" if bound is None else f"-{bound:.1f}",
                f"{mean(line.int8):.2f}",
                f"{mean(line.int8) - mean(line.accuracies):+.2f}",
                f"{line.row.parameters:,}",
                f"{line.original.parameters / line.row.parameters:.2f}x",
                f"{line.row.macs:,}",
                f"{line.original.macs / line.row.macs:.2f}x",
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def draw(table: Sequence[Line], variants: dict[str, str], title: str, name: str) -> None:
    """Draw accuracy lost, and how many times fewer parameters and MACs, of some variants."""
    if not any(line.variant in variants for line in table):
        return
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    points, parameters, macs = figure.subplots(1, 3)
    figure.suptitle(title)
    for number, network in enumerate(NETWORKS):
        own = {line.variant: line for line in table if line.network == network}
        places = [
            (place + 0.2 * number - 0.3, own[variant])
            for place, variant in enumerate(variants)
            if variant in own
        ]
        if not places:
            continue
        style = {"width": 0.18, "color": COLOURS[network], "label": network}
        xs = [x for x, _ in places]
        points.bar(xs, [mean(line.differences or (0,)) for _, line in places], **style)
        for x, line in places:
            points.plot([x] * len(line.differences), line.differences, "k.", markersize=3)
        ratios = [line.original.parameters / line.row.parameters for _, line in places]
        parameters.bar(xs, ratios, **style)
        macs.bar(xs, [line.original.macs / line.row.macs for _, line in places], **style)
    for axes, what in (
        (points, "accuracy, points more than the original"),
        (parameters, "parameters, times fewer"),
        (macs, "MACs, times fewer"),
    ):
        _finish(axes, what, list(variants.values()))
    points.axhline(0, color="black", linewidth=0.6)
    macs.legend(fontsize=8)
    figure.savefig(HERE / name, dpi=130)


def _finish(axes: Axes, what: str, labels: list[str]) -> None:
    axes.set_title(what, fontsize=9)
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    table = lines(read_rows(RUNS))
    (HERE / "table.md").write_text(markdown(table))
    split = {f"split{branches}": f"split{branches}" for branches in BRANCHES}
    draw(table, split, "Branches alone; a dot is a seed", "split.png")
    fattened = {"split8": "split8", **{f"split8-f{more}": f"+{more} %" for more in FATTENED}}
    draw(table, fattened, "Eight branches, fattened; a dot is a seed", "fattened.png")


if __name__ == "__main__":
    main()

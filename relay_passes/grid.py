"""Cutting a map into ranges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from lcp_tvm.plan.box import Range


def even_ranges(size: int, parts: int) -> tuple[Range, ...]:
    """Cut 0..size into ranges whose lengths differ by one at most; empty ones are left out.

    DeepThings, section IV-A: range j of M begins at floor(size j / M).
    """
    ranges = [(size * part // parts, size * (part + 1) // parts) for part in range(parts)]
    return tuple(side for side in ranges if side[0] < side[1])


def weighted_ranges(size: int, weights: Sequence[float]) -> tuple[Range, ...]:
    """Cut 0..size into one range per weight, as long as the weight says; some may be empty."""
    total = sum(weights)
    ends = [round(size * at / total) for at in accumulate(weights)]
    return tuple(zip([0, *ends[:-1]], ends, strict=True))

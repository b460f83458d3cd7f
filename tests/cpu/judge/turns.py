"""Times of programs that run in turns, and what follows from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds from any beginning, e.g. `time.thread_time`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long two programs may be measured.

    Attributes
    ----------
    total_s : no turn begins after this, but that each program has run once.
    turn_s : a program runs in its turn until this is over, at least once.
    rounds : each program has so many turns at most.
    """

    total_s: float = 10.0
    turn_s: float = 0.1
    rounds: int = 9


def take_turns(
    programs: Sequence[Callable[[], object]], clock: Clock, budget: Budget
) -> tuple[tuple[float, ...], ...]:
    """Return the seconds of every run, by program.

    The first round fills caches: it counts only where the budget has no second one.
    """
    begin = clock()
    first = [_turn(program, clock, 0.0) for program in programs]
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(budget.rounds):
        if clock() - begin >= budget.total_s:
            break
        for program, taken in zip(programs, times, strict=True):
            taken += _turn(program, clock, budget.turn_s)
    return tuple(tuple(taken) for taken in (times if times[0] else first))


def _turn(program: Callable[[], object], clock: Clock, least_s: float) -> list[float]:
    times: list[float] = []
    while not times or sum(times) < least_s:
        begin = clock()
        program()
        times.append(clock() - begin)
    return times


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of ours and of the other's, in seconds, and how many runs of ours there were."""

    ours_s: float
    other_s: float
    runs: int

    @property
    def ratio(self) -> float:
        """Below 1, ours is faster."""
        return self.ours_s / self.other_s


def compare(
    ours: Callable[[], object], other: Callable[[], object], clock: Clock, budget: Budget
) -> Comparison:
    """Run two programs in turns."""
    mine, others = take_turns((ours, other), clock, budget)
    return Comparison(statistics.median(mine), statistics.median(others), len(mine))


def geometric_mean(ratios: Iterable[float]) -> float:
    """The ratio of a typical network.

    Raises
    ------
    ValueError : there are no ratios, or one is not positive.
    """
    values = list(ratios)
    if not values or min(values) <= 0:
        raise ValueError(f"no geometric mean of {values}")
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def gflops(macs: int, seconds: float) -> float:
    """Multiply-accumulates in a time as GFLOP/s: each is two operations."""
    return 2e-9 * macs / seconds


def beyond_macs(tiles_s: float, whole_s: float, tile_macs: int, whole_macs: int) -> float:
    """How much longer tiles take than their multiply-accumulates explain; 1.0 is none."""
    return (tiles_s / whole_s) / (tile_macs / whole_macs)

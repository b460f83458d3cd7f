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
    """Return what a run takes in seconds, by program: the median of each of its turns.

    The first round fills caches: it counts only where the budget has no second one.
    """
    begin = clock()
    first = [_turn(program, clock, 0.0) for program in programs]
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(budget.rounds):
        if clock() - begin >= budget.total_s:
            break
        for program, taken in zip(programs, times, strict=True):
            taken.append(_turn(program, clock, budget.turn_s))
    if not times[0]:
        return tuple((taken,) for taken in first)
    return tuple(map(tuple, times))


def _turn(program: Callable[[], object], clock: Clock, least_s: float) -> float:
    times: list[float] = []
    while not times or sum(times) < least_s:
        begin = clock()
        program()
        times.append(clock() - begin)
    return statistics.median(times)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What runs of ours and of the other take, in seconds, turn by turn."""

    ours: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ours_s(self) -> float:
        return statistics.median(self.ours)

    @property
    def other_s(self) -> float:
        return statistics.median(self.other)

    @property
    def ratio(self) -> float:
        """The median over rounds, as a machine is slower at times; below 1, ours is faster."""
        return statistics.median(
            ours / other for ours, other in zip(self.ours, self.other, strict=True)
        )


def compare(
    ours: Callable[[], object], other: Callable[[], object], clock: Clock, budget: Budget
) -> Comparison:
    """Run two programs in turns."""
    return Comparison(*take_turns((ours, other), clock, budget))


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

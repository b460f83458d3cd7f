"""Search the best choice of every convolution: the model ranks, measurements decide.

choices, choices_of by the model --batches, in turns, until one brings nothing--> the fastest
    --once more beside the model's first--> what goes into the database
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tvm

from lcp_tvm.cpu.build import kernels_of
from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.processor import Processor
from lcp_tvm.cpu.templates import Choice, choices_of, choose
from lcp_tvm.cpu.tunings import Layer

BATCH = 8
"""Choices that are measured together, the best so far among them."""

GAIN = 0.97
"""Of the model's choice's time; what is less of a gain may be noise, and is not taken."""

BATCH_S, FINAL_S = 0.5, 1.0
"""How long a batch is measured, and the two between which it is decided."""

Clock = Callable[[], float]
Measure = Callable[[Conv, Sequence[Choice], float], Sequence[float]]
"""What calls take in seconds, by choice, measured for about so long."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Convolutions of one layer; the first stands for all."""

    conv: Conv
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the model chooses and what measurements do, and seconds of a call of either.

    Attributes
    ----------
    measured : choices that were.
    """

    before: Choice
    before_s: float
    after: Choice
    after_s: float
    measured: int


def jobs_of(module: tvm.IRModule, processor: Processor) -> list[Job]:
    """Return what there is to tune in a module's Relax functions."""
    core = processor.core
    convs: dict[Layer, list[Conv]] = {}

    def note(conv: Conv) -> Choice:
        convs.setdefault(Layer.of(conv), []).append(conv)
        return choose(conv, core)

    kernels_of(module, processor, note)
    return [Job(same[0], len(same)) for same in convs.values()]


def tune(
    conv: Conv,
    core: Core,
    measure: Measure,
    seconds: float,
    known: Choice | None = None,
    clock: Clock = time.monotonic,
) -> Found:
    """Search for at most about so many seconds.

    Parameters
    ----------
    known : what an earlier search found.
    """
    end = clock() + seconds
    choices = choices_of(conv, core)
    first = best = choices[0]
    left = choices[1:]
    if known in left:
        left.remove(known)
        left.insert(0, known)
    before_s = 0.0
    while True:
        rivals, left = left[: BATCH - 1], left[BATCH - 1 :]
        start = clock()
        best_s, *times = measure(conv, (best, *rivals), BATCH_S)
        if best is first:
            before_s = best_s
        fastest_s = min(times, default=math.inf)
        if fastest_s > GAIN * best_s:
            break
        best = rivals[times.index(fastest_s)]
        now = clock()
        if not left or now + (now - start) > end:
            break
    measured = len(choices) - len(left)
    if best is not first:
        before_s, after_s = measure(conv, (first, best), FINAL_S)
        if after_s <= GAIN * before_s:
            return Found(first, before_s, best, after_s, measured)
    return Found(first, before_s, first, before_s, measured)

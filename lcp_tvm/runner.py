"""Pictures through a package on a cluster of workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.errors import InputError
from lcp_tvm.package import Package
from lcp_tvm.pictures import load_input
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.front import DEFAULTS
from lcp_tvm.rpc.launch import Progress
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.statistics import Statistics, joined
from lcp_tvm.rpc.workers import Workers

WATCH_S = 1.0
"""Nodes are asked so often what they have done."""

Array = npt.NDArray[Any]
Watch = Callable[[Statistics], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of some pictures.

    Attributes
    ----------
    answers : one per picture, in their order.
    elapsed_s : from the first picture until the last answer.
    """

    answers: tuple[Answer, ...]
    statistics: Statistics
    elapsed_s: float


def run_pictures(
    package: Package,
    pictures: Sequence[Path],
    workers: Workers | None,
    settings: Settings = DEFAULTS,
    *,
    top: int,
    progress: Progress,
    watch: Watch = lambda statistics: None,
) -> Outcome:
    """Load what the workers need of a package, and run the pictures.

    Parameters
    ----------
    workers : None starts some on this machine, which end with the run.
    top : classes in an answer.
    watch : told about once a second what has happened since the last time.

    Raises
    ------
    InputError
        A picture or a setting cannot be used.
    PackageError, ConfigError
        The package is damaged, or is not for these workers.
    WorkerError
        A worker is not there, or a picture could not be computed.
    """
    answers: list[Answer] = []
    parts: list[Statistics] = []
    with BlockingCluster(package, workers, settings, progress=progress) as cluster:

        def look() -> None:
            parts.append(cluster.stats())
            watch(parts[-1])

        begin = looked = time.monotonic()
        outputs = cluster.stream(_inputs(package, cluster.plan, pictures))
        for picture, output in zip(pictures, outputs, strict=True):
            answers.append(read_answer(str(picture), output, package.manifest.labels, top))
            progress("running", 0.3 + 0.7 * len(answers) / len(pictures))
            if time.monotonic() - looked > WATCH_S:
                look()
                looked = time.monotonic()
        elapsed_s = time.monotonic() - begin
        look()
    return Outcome(tuple(answers), joined(parts), elapsed_s)


def _inputs(package: Package, plan: Plan, pictures: Sequence[Path]) -> Iterator[Array]:
    dtype = plan.tensors[plan.inputs[0]].dtype
    for path in pictures:
        x = load_input(path, package.preprocess, dtype)
        if x.shape != package.manifest.input_shape:
            raise InputError(
                f"{path}: a picture becomes {list(x.shape)}, {package.path} takes "
                f"{list(package.manifest.input_shape)}; this network is not for pictures"
            )
        yield x

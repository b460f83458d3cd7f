"""Pictures through a package on a cluster of workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.detections import Box
from lcp_tvm.errors import InputError
from lcp_tvm.package import Package
from lcp_tvm.pictures import open_picture, picture_input, seen_box
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
    seen: list[Box] = []
    labels, detector = package.manifest.labels, package.manifest.detector
    parts: list[Statistics] = []
    with BlockingCluster(package, workers, settings, progress=progress) as cluster:

        def look() -> None:
            parts.append(cluster.stats())
            watch(parts[-1])

        begin = looked = time.monotonic()
        groups = _groups(pictures, cluster.plan.batch)
        outputs = cluster.stream(_inputs(package, cluster.plan, groups, seen))
        for group, output in zip(groups, outputs, strict=True):
            for picture, own in zip(group, _apart(output, cluster.plan.batch), strict=False):
                part = seen[len(answers)]
                answers.append(read_answer(str(picture), own, labels, top, detector, part))
            progress("running", 0.3 + 0.7 * len(answers) / len(pictures))
            if time.monotonic() - looked > WATCH_S:
                look()
                looked = time.monotonic()
        elapsed_s = time.monotonic() - begin
        look()
    return Outcome(tuple(answers), joined(parts), elapsed_s)


def _groups(pictures: Sequence[Path], batch: int) -> list[Sequence[Path]]:
    """Pictures that go through the network together; the last group may have fewer."""
    return [pictures[i : i + batch] for i in range(0, len(pictures), batch)]


def _inputs(
    package: Package, plan: Plan, groups: Sequence[Sequence[Path]], seen: list[Box]
) -> Iterator[Array]:
    """One input a group; the last picture also stands in for those that are missing.

    What the network sees of each picture is added to ``seen``.
    """
    dtype = plan.tensors[plan.inputs[0]].dtype
    wanted = (1, *package.manifest.input_shape[1:])
    for group in groups:
        frames: list[Array] = []
        for path in group:
            picture = open_picture(path, package.preprocess)
            seen.append(seen_box(*picture.size, package.preprocess))
            frames.append(picture_input(picture, package.preprocess, dtype))
            if frames[-1].shape != wanted:
                raise InputError(
                    f"{path}: a picture becomes {list(frames[-1].shape)}, {package.path} takes "
                    f"{list(wanted)}; this network is not for pictures"
                )
        yield np.concatenate([*frames, *frames[-1:] * (plan.batch - len(frames))])


def _apart(outputs: Sequence[Array], batch: int) -> list[list[Array]]:
    """Outputs of each picture of a group."""
    if batch == 1:
        return [list(outputs)]
    return [[output[i : i + 1] for output in outputs] for i in range(batch)]

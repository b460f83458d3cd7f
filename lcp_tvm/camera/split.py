"""A network split in one way, as a live camera takes it: from a picture to what is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from PIL import Image

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.camera.frame import Frame
from lcp_tvm.detections import Box
from lcp_tvm.errors import InputError
from lcp_tvm.network import Preprocess
from lcp_tvm.package import Package
from lcp_tvm.pictures import picture_input, seen_box
from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.preprocess import CHANNEL_COUNT
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.crew import GATEWAY_NAME
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from lcp_tvm.targets import parse_targets

Array = npt.NDArray[Any]
TOP = 3
UNSPLIT = "one board"


@dataclass(frozen=True, slots=True)
class Split:
    """A network split in one way.

    Attributes
    ----------
    read : outputs of the plan and what was seen of the frame, to an answer.
    open : make a cluster for it, which is not open yet.
    kind : what a board runs, by its name and number.
    """

    name: str
    plan: Plan
    preprocess: Preprocess
    read: Callable[[Sequence[Array], Box], Answer]
    open: Callable[[], Cluster]
    kind: Callable[[str, int], str]

    def prepare(self, frame: Frame) -> Array:
        """Return a frame as the plan's input."""
        dtype = self.plan.tensors[self.plan.inputs[0]].dtype
        return picture_input(Image.fromarray(frame.pixels), self.preprocess, dtype)

    def seen(self, frame: Frame) -> Box:
        """Return what the network sees of a frame."""
        height, width, _ = frame.pixels.shape
        return seen_box(width, height, self.preprocess)


def splits_of(
    packages: Sequence[Package], workers_of: Callable[[Plan], Workers | None], settings: Settings
) -> tuple[Split, ...]:
    """Return the splits of some packages, each with a name of its own.

    Parameters
    ----------
    workers_of : a plan's workers; None starts some on this machine.

    Raises
    ------
    InputError
        A package takes no single pictures.
    """
    found: list[Split] = []
    for package in packages:
        split = _split(package, workers_of(package.plan()), settings)
        names = [other.name for other in found]
        if split.name in names:
            raise InputError(
                f"{package.path}: another package is split {split.name} as well; a page could "
                "not tell them apart"
            )
        found.append(split)
    return tuple(found)


def _split(package: Package, workers: Workers | None, settings: Settings) -> Split:
    plan, manifest = package.plan(), package.manifest
    if plan.batch > 1:
        raise InputError(
            f"{package.path}: it computes {plan.batch} frames together; compile it without "
            "--batch-frames, since a camera's frame should not wait for others"
        )
    wanted = manifest.input_shape
    channels = CHANNEL_COUNT[package.preprocess.channels]
    if len(plan.inputs) != 1 or wanted != (1, channels, *package.preprocess.size):
        raise InputError(f"{package.path}: this network is not for pictures")
    targets = parse_targets(manifest.target)

    def kind(name: str, number: int) -> str:
        return targets.of(GATEWAY if name == GATEWAY_NAME else number % plan.devices).text

    def read(outputs: Sequence[Array], seen: Box) -> Answer:
        return read_answer("", outputs, manifest.labels, TOP, manifest.detector, seen)

    return Split(
        name=UNSPLIT if plan.split == "none" else plan.split,
        plan=plan,
        preprocess=package.preprocess,
        read=read,
        open=lambda: Cluster(package, workers, settings),
        kind=kind,
    )

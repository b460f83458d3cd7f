"""A network on its way through the compiler, and what its pictures must look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tvm

from lcp_tvm.detector import Detector


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes the network's input: ``(value * scale - mean) / std``.

    Attributes
    ----------
    size : (height, width) in pixels that the picture is resized to.
    mean, std : per channel, in units of the scaled value; one entry stands for all channels.
    scale : factor on the 0..255 pixel value before mean and std, e.g. ``1/255``.
    channels : channel order of the input; "L" is one grey channel.
    resize : "squash" to the size; "crop": the shorter side to size / 0.875, then the centre; or
        "pad": as large as fits, with black below or to the right.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0 / 255.0
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    resize: Literal["squash", "crop", "pad"] = "squash"


@dataclass(frozen=True, slots=True)
class Network:
    """A float Relax module with one input, and the facts that travel with it.

    ``module["main"]`` takes one float32 tensor ``[1, C, H, W]``; its parameters are constants.
    """

    name: str
    module: tvm.IRModule
    input_name: str
    input_shape: tuple[int, ...]
    preprocess: Preprocess
    labels: tuple[str, ...] = ()
    detector: Detector | None = None  # of a network that finds boxes
    messages: tuple[str, ...] = ()

"""What a page can see of a live camera, and what it can do to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lcp_tvm.rpc.frames import NodeState


@dataclass(frozen=True, slots=True)
class Board:
    """A board, and what it did for a frame: means over the last seconds.

    Attributes
    ----------
    kind : what it runs, such as "vta:pynq_z1".
    reason : why it does not work; empty for one that does.
    seen_s : how long ago it last said something.
    wait_ms : from when it first heard of a frame until it last did something for it, less the
        time in which it computed.
    transfer_ms : in which bytes came or went.
    bytes_per_frame : that came and went.
    memory_bytes : that it holds now.
    """

    name: str
    kind: str
    state: NodeState
    reason: str
    seen_s: float
    compute_ms: float
    transfer_ms: float
    wait_ms: float
    bytes_per_frame: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that a device did for a frame.

    Attributes
    ----------
    name : of the task, or of what was sent.
    start_ms : from the frame's capture.
    """

    device: str
    name: str
    start_ms: float
    duration_ms: float


@dataclass(frozen=True, slots=True)
class State:
    """A live camera at one time.

    Attributes
    ----------
    source : the URI that frames come from; one of ``sources``.
    split : the one that computes; one of ``splits``.
    switching : another split is being loaded.
    source_lost : why no frames come; empty while they do.
    frames_per_s : answers, over the last seconds.
    latency_p50_ms, latency_p95_ms : from capture to answer, over the last seconds.
    infer_p50_ms : of that, in the cluster.
    answered : frames so far.
    dropped : frames for which a newer one was taken.
    late : answers that came after a newer one, and were not shown.
    failed : frames that the cluster could not compute.
    timeline : of one recent frame.
    error : what went wrong last; empty when nothing did.
    """

    source: str
    sources: tuple[str, ...]
    split: str
    splits: tuple[str, ...]
    switching: bool
    paused: bool
    source_lost: str
    frames_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    infer_p50_ms: float
    answered: int
    dropped: int
    late: int
    failed: int
    boards: tuple[Board, ...]
    timeline: tuple[Bar, ...]
    error: str


class Controls(Protocol):
    """A live camera as a page sees it. All that acts raises InputError with one line."""

    def state(self) -> State:
        """Return what there is to see now."""
        ...

    async def switch(self, split: str) -> None:
        """Compute by another split, one of ``State.splits``."""
        ...

    async def choose_source(self, uri: str) -> None:
        """Take frames from another source, one of ``State.sources``."""
        ...

    async def pause(self, paused: bool) -> None:
        """Stop computing frames, or go on."""
        ...

    async def leave_out(self, board: str) -> None:
        """Go on without a board."""
        ...

    async def take_back(self, board: str) -> None:
        """Compute with a board again that was left out."""
        ...

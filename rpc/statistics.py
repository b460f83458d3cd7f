"""What nodes have done: compute, wait, transfer and bytes, by frame and device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lcp_tvm.errors import WorkerError
from lcp_tvm.predict.prediction import Latency, latency_of
from lcp_tvm.predict.trace import Span

Counters = Mapping[str, Any]
"""What a node's `stats` answers (docs/runtime.md)."""

_MS = 1e-6
_US = 1e-3


@dataclass(frozen=True, slots=True)
class Ended:
    """A frame that has ended.

    Attributes
    ----------
    number : as nodes call it; that of its last attempt.
    latency_ms : from its submission until its outputs were here, or it failed.
    reason : why it failed; empty for one that is done.
    """

    number: int
    latency_ms: float
    attempts: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FrameUse:
    """What a device did for a frame.

    Attributes
    ----------
    wait_ms : from when it first heard of the frame until it last did something for it, less the
        time in which it computed.
    transfer_ms : in which bytes of it came or went.
    stolen : of its tasks, those that it took from another device's queue.
    fallbacks : of its tasks, those that ran without what others could have given them.
    """

    frame: int
    device: str
    compute_ms: float
    wait_ms: float
    transfer_ms: float
    sent_bytes: int
    received_bytes: int
    tasks: int
    stolen: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a node, in bytes.

    Attributes
    ----------
    held : now; ``peak``: the most at a time.
    weights : constants of the functions that it has loaded.
    """

    device: str
    held: int
    peak: int
    weights: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What has happened since the last time somebody asked.

    Attributes
    ----------
    frames : that have ended.
    uses : of nodes for frames that have ended.
    memory : of the nodes that answered; those that are lost are left out.
    spans : the timeline, where nodes keep one; times of the client's clock.
    late_ms : the most by which a call on an emulated board missed its time.
    """

    frames: tuple[Ended, ...] = ()
    uses: tuple[FrameUse, ...] = ()
    memory: tuple[Memory, ...] = ()
    spans: tuple[Span, ...] = ()
    late_ms: float = 0.0

    @property
    def latency_ms(self) -> Latency | None:
        """Of the frames that are done; None without any."""
        done = [frame.latency_ms for frame in self.frames if not frame.reason]
        return latency_of(done) if done else None

    @property
    def failed(self) -> int:
        return sum(bool(frame.reason) for frame in self.frames)

    @property
    def redone(self) -> int:
        """Frames that were begun more than once."""
        return sum(frame.attempts > 1 for frame in self.frames)

    def holds_all(self, tasks: int) -> bool:
        """Whether nodes have told of all so many tasks of every frame that is done."""
        told: Counter[int] = Counter()
        for use in self.uses:
            told[use.frame] += use.tasks
        return all(told[frame.number] >= tasks for frame in self.frames if not frame.reason)


@dataclass(frozen=True, slots=True)
class Names:
    """What nodes say by number."""

    nodes: Sequence[str]
    tasks: Sequence[str]


class Clocks:
    """How far nodes' clocks are ahead of the client's, which is that of this process."""

    def __init__(self, client: int) -> None:
        self._offsets_ns = {client: 0}

    def offset_ns(self, node: int) -> int:
        return self._offsets_ns[node]

    def tell(self, rows: Iterable[Sequence[int]]) -> None:
        """Take what the client has found out itself: node, offset and round trip of each."""
        self._offsets_ns |= {node: offset for node, offset, _ in rows}

    def guess(self, node: int, now_ns: int, asked_ns: int, answered_ns: int) -> None:
        """Take the time that a node said when it was asked, where nothing better is known."""
        self._offsets_ns.setdefault(node, now_ns - (asked_ns + answered_ns) // 2)


def read_counters(
    names: Names, frames: Iterable[Ended], counters: Mapping[int, Counters], clocks: Clocks
) -> Statistics:
    """Return what nodes' counters say.

    Parameters
    ----------
    counters : by node, the client's last.
    clocks : know all of the nodes.

    Raises
    ------
    WorkerError
        A node's counters are none.
    """
    client = len(names.nodes) - 1
    nodes = {number: values for number, values in counters.items() if number != client}
    try:
        return Statistics(
            tuple(frames),
            tuple(_use(names, n, row) for n, values in nodes.items() for row in values["frames"]),
            tuple(_memory(names, n, values) for n, values in nodes.items()),
            tuple(
                _span(names, number, row, clocks.offset_ns(number))
                for number, values in counters.items()
                for row in values["spans"]
            ),
            max((int(values["late_ns"]) * _MS for values in nodes.values()), default=0.0),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise WorkerError(f"a node's counters are not understood: {error}") from error


def joined(parts: Iterable[Statistics]) -> Statistics:
    """Return what has happened in several stretches of time, one after the other."""
    every = tuple(parts)
    return Statistics(
        tuple(frame for part in every for frame in part.frames),
        tuple(use for part in every for use in part.uses),
        tuple({memory.device: memory for part in every for memory in part.memory}.values()),
        tuple(span for part in every for span in part.spans),
        max((part.late_ms for part in every), default=0.0),
    )


def statistics_json(statistics: Statistics) -> dict[str, Any]:
    """Return statistics as JSON values, without the timeline."""
    latency = statistics.latency_ms
    return {
        "latency_ms": None if latency is None else asdict(latency),
        "failed": statistics.failed,
        "redone": statistics.redone,
        "frames": [asdict(frame) for frame in statistics.frames],
        "uses": [asdict(use) for use in statistics.uses],
        "memory": [asdict(memory) for memory in statistics.memory],
    }


def timeline(spans: Iterable[Span]) -> list[Span]:
    """Return spans with the first at time 0."""
    every = list(spans)
    first = min((span.start_us for span in every), default=0.0)
    return [
        Span(s.device, s.lane, s.name, s.start_us - first, s.duration_us, s.args) for s in every
    ]


def _use(names: Names, node: int, row: Sequence[int]) -> FrameUse:
    frame, first, last, compute, transfer, sent, received, tasks, stolen, fallbacks = row
    return FrameUse(
        frame=frame,
        device=names.nodes[node],
        compute_ms=compute * _MS,
        wait_ms=max(last - first - compute, 0) * _MS,
        transfer_ms=transfer * _MS,
        sent_bytes=sent,
        received_bytes=received,
        tasks=tasks,
        stolen=stolen,
        fallbacks=fallbacks,
    )


def _memory(names: Names, node: int, values: Counters) -> Memory:
    held, peak, weights = (int(values[f"{key}_bytes"]) for key in ("held", "peak", "weight"))
    return Memory(names.nodes[node], held, peak, weights)


def _span(names: Names, node: int, row: Sequence[Any], offset_ns: int) -> Span:
    lane, frame, task, peer, begin, end, nbytes = row
    name = names.tasks[task] if task >= 0 else "frame"
    if lane == "send":
        name = f"{name} to {names.nodes[peer]}"
    elif lane == "receive":
        name = f"{name} from {names.nodes[peer]}"
    return Span(
        device=names.nodes[node],
        lane=str(lane),
        name=name,
        start_us=(begin - offset_ns) * _US,
        duration_us=(end - begin) * _US,
        args={"frame": frame, "bytes": nbytes} if lane != "compute" else {"frame": frame},
    )

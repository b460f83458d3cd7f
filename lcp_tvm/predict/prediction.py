"""What a plan would cost on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any

from lcp_tvm.plan.plan import Policy
from lcp_tvm.predict.trace import Span


@dataclass(frozen=True, slots=True)
class Latency:
    """Of frames, in milliseconds, from arrival until all outputs are at the gateway.

    Attributes
    ----------
    p50, p95 : that so many per cent of the frames do not exceed.
    """

    p50: float
    p95: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What one machine did.

    Attributes
    ----------
    busy_ms : time computing; ``wait_ms``: the rest until the last frame was done.
    utilisation : busy time as a share of all.
    memory_bytes : the most at a time, and the weights of all functions that it called.
    memory_limit_bytes : what it has.
    macs : multiply-accumulates of the calls begun.
    sent_bytes, received_bytes : what messages held.
    """

    name: str
    kind: str
    busy_ms: float
    wait_ms: float
    utilisation: float
    memory_bytes: int
    memory_limit_bytes: int
    macs: int
    fallbacks: int
    sent_bytes: int
    received_bytes: int

    @property
    def fits(self) -> bool:
        """Whether its memory suffices."""
        return self.memory_bytes <= self.memory_limit_bytes


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a plan would cost.

    Attributes
    ----------
    makespan_ms : until the last frame is done.
    latencies_ms : by frame, in order of completion.
    frames_per_second : over the whole run.
    links : bytes sent, by names of sender and receiver.
    messages : sent in all, questions and answers of work stealing included.
    devices : the cluster's, and last a gateway of its own.
    notes : what the user should know.
    spans : timeline, when that was asked for.
    """

    plan: str
    split: str
    cluster: str
    policy: Policy
    frames: int
    makespan_ms: float
    latencies_ms: tuple[float, ...]
    latency_ms: Latency
    frames_per_second: float
    links: Mapping[tuple[str, str], int]
    messages: int
    devices: tuple[DeviceUse, ...]
    notes: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def bytes_total(self) -> int:
        """Bytes sent."""
        return sum(self.links.values())

    @property
    def bytes_per_frame(self) -> float:
        return self.bytes_total / self.frames

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all calls begun, over all frames."""
        return sum(device.macs for device in self.devices)

    @property
    def fallbacks(self) -> int:
        """Tasks that ran without what others could have given them."""
        return sum(device.fallbacks for device in self.devices)

    @property
    def fits(self) -> bool:
        """Whether every device's memory suffices."""
        return all(device.fits for device in self.devices)


def latency_of(latencies_ms: Sequence[float]) -> Latency:
    """Return the figures of some latencies, of which one at least is given."""
    ordered = sorted(latencies_ms)
    return Latency(
        p50=_percentile(ordered, 50),
        p95=_percentile(ordered, 95),
        max=ordered[-1],
        mean=sum(ordered) / len(ordered),
    )


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON values, without the timeline and single frames' latencies."""
    finite = prediction.frames_per_second < inf
    return {
        "plan": prediction.plan,
        "split": prediction.split,
        "cluster": prediction.cluster,
        "policy": prediction.policy,
        "frames": prediction.frames,
        "makespan_ms": prediction.makespan_ms,
        "latency_ms": asdict(prediction.latency_ms),
        "frames_per_second": prediction.frames_per_second if finite else None,
        "bytes_total": prediction.bytes_total,
        "bytes_per_frame": prediction.bytes_per_frame,
        "messages": prediction.messages,
        "macs": prediction.macs,
        "fallbacks": prediction.fallbacks,
        "fits": prediction.fits,
        "devices": [asdict(device) | {"fits": device.fits} for device in prediction.devices],
        "links": [
            {"from": sender, "to": receiver, "bytes": nbytes}
            for (sender, receiver), nbytes in prediction.links.items()
        ],
        "notes": list(prediction.notes),
    }


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest of the values that so many per cent do not exceed."""
    return ordered[ceil(len(ordered) * percent / 100) - 1]

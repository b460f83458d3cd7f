"""Timelines as Chrome trace JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lcp_tvm.errors import InputError

LANES = ("compute", "send", "receive")
"""Rows of a device, from the top; lanes of other names follow."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that a device did for a while.

    Attributes
    ----------
    lane : the row of the device that shows it.
    args : shown when it is selected.
    """

    device: str
    lane: str
    name: str
    start_us: float
    duration_us: float
    args: Mapping[str, object] = field(default_factory=dict)

    @property
    def end_us(self) -> float:
        return self.start_us + self.duration_us


def write_trace(spans: Iterable[Span], path: Path) -> None:
    """Write a trace file.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        path.write_text(json.dumps(trace_json(spans), allow_nan=False))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def trace_json(spans: Iterable[Span]) -> dict[str, object]:
    """Return the trace as a JSON object: a process per device, a row or more per lane.

    Spans of one lane that overlap go to rows of their own: viewers show nested spans only.
    """
    events: list[dict[str, object]] = []
    for pid, (device, lanes) in enumerate(_grouped(spans).items()):
        events.append(_label("process_name", pid, 0, device))
        rows = [
            (lane if number == 0 else f"{lane} {number + 1}", row)
            for lane, members in lanes.items()
            for number, row in enumerate(_rows(members))
        ]
        for tid, (label, row) in enumerate(rows):
            events.append(_label("thread_name", pid, tid, label))
            events += [
                {
                    "ph": "X",
                    "pid": pid,
                    "tid": tid,
                    "name": span.name,
                    "ts": span.start_us,
                    "dur": span.duration_us,
                    "args": dict(span.args),
                }
                for span in row
            ]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _grouped(spans: Iterable[Span]) -> dict[str, dict[str, list[Span]]]:
    """Return spans by device, in order of first appearance, and by lane."""
    devices: dict[str, dict[str, list[Span]]] = {}
    for span in spans:
        lanes = devices.setdefault(span.device, {lane: [] for lane in LANES})
        lanes.setdefault(span.lane, []).append(span)
    return devices


def _rows(spans: Sequence[Span]) -> list[list[Span]]:
    """Spread spans over as few rows as keep them from overlapping."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda s: s.start_us):
        for row in rows:
            if row[-1].end_us <= span.start_us + 1e-6:
                row.append(span)
                break
        else:
            rows.append([span])
    return rows


def _label(what: str, pid: int, tid: int, name: str) -> dict[str, object]:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {"name": name}}

"""Timelines in the form that Perfetto reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.predict.trace import Span, trace_json, write_trace


def label(what: str, pid: int, tid: int, name: str) -> dict[str, object]:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {"name": name}}


def span(pid: int, tid: int, name: str, ts: float, dur: float, **args: object) -> dict[str, object]:
    return {"ph": "X", "pid": pid, "tid": tid, "name": name, "ts": ts, "dur": dur, "args": args}


def test_a_process_per_device_and_a_row_per_lane() -> None:
    spans = [
        Span("d0", "send", "frame to b", 0, 4, {"bytes": 9}),
        Span("d1", "compute", "b", 4, 10, {"frame": 0}),
        Span("d0", "compute", "a", 0, 10),
        Span("d1", "reading", "camera", 0, 1),
    ]
    assert trace_json(spans) == {
        "displayTimeUnit": "ms",
        "traceEvents": [
            label("process_name", 0, 0, "d0"),
            label("thread_name", 0, 0, "compute"),
            span(0, 0, "a", 0, 10),
            label("thread_name", 0, 1, "send"),
            span(0, 1, "frame to b", 0, 4, bytes=9),
            label("process_name", 1, 0, "d1"),
            label("thread_name", 1, 0, "compute"),
            span(1, 0, "b", 4, 10, frame=0),
            label("thread_name", 1, 1, "reading"),
            span(1, 1, "camera", 0, 1),
        ],
    }


def test_spans_that_overlap_get_rows_of_their_own() -> None:
    spans = [
        Span("d", "receive", "a", 0, 10),
        Span("d", "receive", "b", 5, 10),
        Span("d", "receive", "c", 10, 10),
    ]
    assert trace_json(spans)["traceEvents"] == [
        label("process_name", 0, 0, "d"),
        label("thread_name", 0, 0, "receive"),
        span(0, 0, "a", 0, 10),
        span(0, 0, "c", 10, 10),
        label("thread_name", 0, 1, "receive 2"),
        span(0, 1, "b", 5, 10),
    ]


def test_a_file_is_one_document(tmp_path: Path) -> None:
    spans = [Span("d", "compute", "ä", 0.5, 1.25)]
    write_trace(spans, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == trace_json(spans)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.json: cannot be written"):
        write_trace([], tmp_path / "no" / "t.json")

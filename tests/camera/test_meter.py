"""What a live camera did over the last seconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lcp_tvm.camera import meter
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.meter import Meter
from lcp_tvm.camera.result import Result
from lcp_tvm.camera.timeline import Timeline
from lcp_tvm.predict.trace import Span
from lcp_tvm.rpc.statistics import Ended, FrameUse, Memory, Statistics

PIXELS = np.zeros((4, 6, 3), np.uint8)


def a_result(captured_s: float, *, prepare_ms: float = 2.0, infer_ms: float = 10.0) -> Result:
    answered_s = captured_s + (prepare_ms + infer_ms) / 1e3
    return Result(Frame(0, captured_s, PIXELS), "lcp:2", (), (), infer_ms, answered_s)


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """Stop the meter's clock; what it shows."""
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: 100.0))
    return 100.0


def use(device: str, compute_ms: float) -> FrameUse:
    return FrameUse(0, device, compute_ms, 2.0, 1.0, 100, 50, 1, 0, 0)


def test_pace(now_s: float) -> None:
    found = Meter()
    for number in range(10):
        found.answered(a_result(now_s - 2 + 0.2 * number, infer_ms=10.0 + number))
    pace = found.pace()
    assert pace.frames_per_s == pytest.approx(10 / 1.988)
    assert pace.infer_ms.p50 == pytest.approx(14.5, abs=1)
    assert pace.latency_ms.p95 == pytest.approx(21, abs=1)


def test_what_is_old_is_forgotten(monkeypatch: pytest.MonkeyPatch, now_s: float) -> None:
    monkeypatch.setattr(meter, "WINDOW_S", 0.5)
    found = Meter()
    found.answered(a_result(now_s - 1))
    assert found.pace().frames_per_s == 0
    assert found.pace().latency_ms.p50 == 0


def test_load_is_that_of_a_frame_that_the_board_had() -> None:
    found = Meter()
    found.told(Statistics(uses=(use("edge-0", 4.0), use("edge-0", 6.0), use("edge-1", 1.0))))
    found.told(Statistics(memory=(Memory("edge-0", 1000, 2000, 500),)))
    load = found.load("edge-0")
    assert (load.compute_ms, load.wait_ms, load.transfer_ms) == (5.0, 2.0, 1.0)
    assert (load.frame_bytes, load.held_bytes) == (150, 1500)
    assert found.load("edge-1").told_s == 0
    assert found.load("edge-2").compute_ms == 0


def span(device: str, name: str, begin_s: float, ms: float, frame: int) -> Span:
    return Span(device, "compute", name, begin_s * 1e6, ms * 1e3, {"frame": frame})


def test_a_timeline_is_that_of_the_newest_frame_that_is_done_from_its_capture() -> None:
    """Frames 7 and 8 of the cluster's are the second and third of the camera's; 9 has failed."""
    found = Timeline()
    for captured_s in (100.0, 101.0, 102.0, 103.0):
        found.answered(a_result(captured_s))
    told = Statistics(
        frames=(Ended(7, 10.0, 1), Ended(8, 10.0, 1), Ended(9, 10.0, 1, "lost")),
        spans=(
            span("edge-0", "branch_0", 101.003, 5.0, 7),
            span("edge-1", "branch_1", 102.004, 6.0, 8),
            span("edge-0", "branch_0", 102.003, 5.0, 8),
            span("edge-0", "branch_0", 103.003, 5.0, 9),
        ),
    )
    bars = found.bars(told)
    assert [(bar.device, bar.name) for bar in bars] == [
        ("camera", "prepare"),
        ("edge-0", "branch_0"),
        ("edge-1", "branch_1"),
    ]
    assert [bar.start_ms for bar in bars] == pytest.approx([0.0, 3.0, 4.0], abs=1e-3)
    assert [bar.duration_ms for bar in bars] == pytest.approx([2.0, 5.0, 6.0], abs=1e-3)


def test_there_is_no_timeline_of_frames_that_nobody_knows() -> None:
    found = Timeline()
    assert found.bars(Statistics()) == ()
    told = Statistics(frames=(Ended(1, 1.0, 1),), spans=(span("edge-0", "n", 1.0, 1.0, 1),))
    assert found.bars(told) == ()

"""What becomes of a run on emulated boards: back to the boards' time, or refused."""

from __future__ import annotations

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.predict.trace import Span
from lcp_tvm.rpc.bench import Measured
from lcp_tvm.rpc.emulation.run import LateError, check, in_board_time
from lcp_tvm.rpc.statistics import Ended, FrameUse, Statistics


def test_slow_motion_is_undone() -> None:
    """Times shrink; counts and bytes stay."""
    slow = Measured(
        latencies_ms=(40.0, 60.0),
        makespan_ms=100.0,
        statistics=Statistics(
            frames=(Ended(1, 44.0, 1),),
            uses=(FrameUse(1, "edge-0", 8.0, 4.0, 12.0, 100, 200, 3, 1, 0),),
            spans=(Span("edge-0", "compute", "tile", 20.0, 80.0),),
            late_ms=2.0,
        ),
    )
    found = in_board_time(slow, 4)
    assert (found.latencies_ms, found.makespan_ms) == ((10.0, 15.0), 25.0)
    assert found.statistics == Statistics(
        frames=(Ended(1, 11.0, 1),),
        uses=(FrameUse(1, "edge-0", 2.0, 1.0, 3.0, 100, 200, 3, 1, 0),),
        spans=(Span("edge-0", "compute", "tile", 5.0, 20.0),),
        late_ms=0.5,
    )


def test_a_run_in_time_counts() -> None:
    check(median_ms=1000, late_ms=10, dropped=0, factor=1)


def test_a_late_run_does_not_count() -> None:
    with pytest.raises(LateError, match=r"11\.0 ms late in a frame.*--slow-motion 6"):
        check(median_ms=1000, late_ms=11, dropped=0, factor=3)


def test_a_run_that_lost_frames_does_not_count() -> None:
    with pytest.raises(InputError, match="dropped 2 frames"):
        check(median_ms=1000, late_ms=0, dropped=2, factor=1)

"""What an agent takes that runs tiles of YOLOv2: measured, not estimated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rpc.memory import WAYS, Way, compile_tiles, measure_memory

PEAK_MB, DATA_MB = 40, 23
CONSTANTS_MB = 13.6
FRAMES = 3
"""One after the other: what is freed must serve the next."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", [way for way in WAYS if way.devices == 1], ids=lambda way: way.split
)
def test_tiles_on_one_device(way: Way, tmp_path: Path) -> None:
    """It keeps the whole frame and all the overlaps, and computes every tile."""
    used = measure_memory(compile_tiles(way.split, tmp_path), way, FRAMES)
    assert used.constants > CONSTANTS_MB
    assert used.peak <= PEAK_MB
    assert used.data <= DATA_MB

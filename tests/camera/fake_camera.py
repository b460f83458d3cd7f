"""A camera without cameras, networks or boards: what a page sees of one, and what it asked for."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from lcp_tvm.answers import Guess
from lcp_tvm.camera.controls import Bar, Board, State
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.result import Result
from lcp_tvm.detections import Detection
from lcp_tvm.errors import InputError

LABELS = ("ankle boot", "bag", "sneaker")

BOARDS = (
    Board("edge-0", "vta:pynq_z1", "working", "", 0.1, 11.2, 1.4, 2.3, 24_100, 31_000_000),
    Board("edge-1", "vta:pynq_z1", "working", "", 0.2, 9.8, 1.1, 4.0, 18_400, 30_500_000),
    Board("gateway", "arm:rpi4", "working", "", 0.1, 2.4, 2.6, 9.9, 42_500, 12_000_000),
)

TIMELINE = (
    Bar("gateway", "x to edge-0", 3.1, 1.0),
    Bar("gateway", "x to edge-1", 3.4, 1.1),
    Bar("edge-0", "branch_0", 4.2, 11.2),
    Bar("edge-1", "branch_1", 4.6, 9.8),
    Bar("edge-0", "branch_0 to gateway", 15.4, 0.5),
    Bar("edge-1", "branch_1 to gateway", 14.4, 0.5),
    Bar("gateway", "head", 16.0, 2.4),
)

STATE = State(
    source="synthetic:",
    sources=("synthetic:", "camera:0"),
    split="lcp:2",
    splits=("none", "lcp:2", "ftp:2x2"),
    switching=False,
    paused=False,
    source_lost="",
    frames_per_s=29.9,
    latency_p50_ms=21.4,
    latency_p95_ms=27.9,
    infer_p50_ms=16.2,
    answered=0,
    dropped=3,
    late=1,
    failed=0,
    boards=BOARDS,
    timeline=TIMELINE,
    error="",
)


def a_frame(number: int = 0, *, width: int = 640, height: int = 480) -> Frame:
    """Return a picture of a gradient and a square that moves with the number."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(40, 90, width)
    pixels[..., 1] = np.linspace(60, 120, height)[:, None]
    pixels[..., 2] = 110
    left = number * 7 % max(width - 100, 1)
    pixels[height // 3 : height // 3 + 100, left : left + 100] = (230, 200, 120)
    return Frame(number, time.monotonic(), pixels, LABELS[number // 60 % len(LABELS)])


def a_result(number: int = 0, *, detect: bool = False, frame: Frame | None = None) -> Result:
    """Return an answer: right for a classifier; for a detector, a box around the square."""
    frame = frame or a_frame(number)
    best = LABELS.index(frame.label or LABELS[0])
    guesses = tuple(
        Guess(index, LABELS[index], 4.0 - 2 * rank, (0.87, 0.11, 0.02)[rank])
        for rank, index in enumerate((best, (best + 1) % 3, (best + 2) % 3))
    )
    left = number * 7 % 540 / 640
    box = (left, 1 / 3, left + 100 / 640, 1 / 3 + 100 / 480)
    return Result(
        frame=frame,
        split="lcp:2",
        guesses=() if detect else guesses,
        detections=(Detection(0, "face", 0.93, box),) if detect else (),
        infer_ms=16.2,
        answered_s=frame.captured_s + 0.0214,
        seen=(0, 0, 1, 1) if detect else (0.17, 0.06, 0.83, 0.94),
    )


class FakeControls:
    """Controls that only note what they are asked for.

    Attributes
    ----------
    asked : what was asked for, in order.
    """

    def __init__(self, state: State = STATE) -> None:
        self.now = state
        self.asked: list[tuple[str, object]] = []

    def state(self) -> State:
        return self.now

    async def switch(self, split: str) -> None:
        self._ask("switch", split, self.now.splits)
        self.now = replace(self.now, split=split)

    async def choose_source(self, uri: str) -> None:
        self._ask("choose_source", uri, self.now.sources)
        self.now = replace(self.now, source=uri)

    async def pause(self, paused: bool) -> None:
        self.asked.append(("pause", paused))
        self.now = replace(self.now, paused=paused)

    async def leave_out(self, board: str) -> None:
        self._ask("leave_out", board, [known.name for known in self.now.boards])
        self._set(board, "left out")

    async def take_back(self, board: str) -> None:
        self._ask("take_back", board, [known.name for known in self.now.boards])
        self._set(board, "working")

    def _ask(self, what: str, name: str, known: object) -> None:
        assert isinstance(known, tuple | list)
        if name not in known:
            raise InputError(f"{name[:40]!r}: none of {', '.join(known)}")
        self.asked.append((what, name))

    def _set(self, name: str, state: str) -> None:
        self.now = replace(
            self.now,
            boards=tuple(
                replace(board, state=state) if board.name == name else board
                for board in self.now.boards
            ),
        )

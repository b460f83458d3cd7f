"""A live camera on nodes that only pretend: what is shown, what is not, and what a page can ask."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.camera import capture, serving
from lcp_tvm.camera import pipeline as pipeline_module
from lcp_tvm.camera.controls import State
from lcp_tvm.camera.pipeline import Pipeline
from lcp_tvm.camera.result import Result
from lcp_tvm.camera.sources.shot import Shot
from lcp_tvm.camera.split import Split
from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.network import Preprocess
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.settings import Settings
from tests.plan.plans import tiles
from tests.rpc.fake_nodes import FakeCrew

TIMEOUT_S = 30.0
SIDE = 16


def compute(function: str, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return ten scores of which the best is the brightness of the picture in tenths."""
    if function != "head":
        return [np.full((1, 16, 8, 8), float(arguments[0].mean()), np.float32)]
    best = round(float(arguments[0].max()) * 10)
    return [np.eye(10, dtype=np.float32)[None, best]]


class Feed:
    """A source whose pictures the test gives: each of one brightness in tenths.

    Attributes
    ----------
    asked : pictures that were asked for; all but the last of them have been handed on.
    """

    def __init__(self) -> None:
        self.shots: queue.SimpleQueue[Shot | InputError] = queue.SimpleQueue()
        self.asked = 0

    def show(self, tenths: int) -> None:
        pixels = np.full((30, 40, 3), round(25.5 * tenths), np.uint8)
        self.shots.put(Shot(pixels, str(tenths)))

    def read(self) -> Shot:
        self.asked += 1
        shot = self.shots.get()
        if isinstance(shot, InputError):
            raise shot
        return shot

    def close(self) -> None:
        pass


class Story:
    """A pipeline of two splits and two sources, and all that it shows.

    Attributes
    ----------
    crews : of the splits, by name; those in ``gone`` cannot be opened.
    """

    def __init__(self, in_flight: int = 2) -> None:
        self.feeds = {"one:": Feed(), "two:": Feed()}
        self.settings = Settings(in_flight=in_flight, recovery_s=0.1, deadline_s=TIMEOUT_S)
        self.crews = {name: FakeCrew(tiles(2, 2), compute, devices=3) for name in ("ftp", "other")}
        self.gone: set[str] = set()
        self.shown: list[Result] = []
        self.pipeline = Pipeline(
            [self._split(name) for name in self.crews],
            list(self.feeds),
            show=self.shown.append,
            open_=self._open,
        )

    def _open(self, uri: str) -> Feed:
        if uri in self.gone:
            raise InputError(f"{uri}: it cannot be opened")
        return self.feeds[uri]

    def _split(self, name: str) -> Split:
        crew = self.crews[name]

        def open_() -> Cluster:
            if name in self.gone:
                raise WorkerError(f"worker of {name}: nothing listens there")
            return Cluster.on(crew.client.plan, crew.crew(), self.settings)

        def read(outputs: Sequence[np.ndarray], seen: Any) -> Answer:
            return read_answer("", outputs, [str(n) for n in range(10)], 1)

        look = Preprocess(size=(SIDE, SIDE))
        return Split(name, crew.client.plan, look, read, open_, lambda board, number: "cpu")

    @property
    def state(self) -> State:
        return self.pipeline.state()

    @property
    def labels(self) -> list[str]:
        return [result.guesses[0].label for result in self.shown]

    def answer_all(self, hold: bool = False) -> None:
        for crew in self.crews.values():
            crew.client.gate.clear() if hold else crew.client.release()


@asynccontextmanager
async def told(story: Story) -> AsyncIterator[Pipeline]:
    """Open a story's pipeline; afterwards nothing of it may be left."""
    try:
        async with story.pipeline as opened:
            yield opened
    finally:
        for feed in story.feeds.values():
            feed.shots.put(InputError("the test is over"))
    assert not any(crew.is_open for crew in story.crews.values())


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, TIMEOUT_S))


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "LEAVE_S", 0.02)
    monkeypatch.setattr(serving, "LOOK_S", 0.02)
    monkeypatch.setattr(pipeline_module, "RETRY_S", 0.02)


def test_a_frame_is_answered_and_shown_with_its_times() -> None:
    async def main() -> None:
        story = Story()
        async with told(story):
            story.feeds["one:"].show(7)
            await until(lambda: story.shown)
            (result,) = story.shown
            assert (result.guesses[0].label, result.frame.label) == ("7", "7")
            assert result.split == "ftp"
            assert result.seen == (0.0, 0.0, 1.0, 1.0)
            assert 0 < result.infer_ms < result.latency_ms
            state = story.state
            assert (state.answered, state.dropped, state.late, state.failed) == (1, 0, 0, 0)
            assert (state.source, state.split) == ("one:", "ftp")
            assert (state.sources, state.splits) == (("one:", "two:"), ("ftp", "other"))
            assert [board.name for board in state.boards] == [
                "edge-0", "edge-1", "edge-2", "gateway"
            ]  # fmt: skip
            assert {board.state for board in state.boards} == {"working"}

    run(main())


def test_always_the_newest_frame_is_taken_and_the_others_are_dropped_and_counted() -> None:
    """Two are computed; of those that come meanwhile only the last is, whenever there is room."""

    async def main() -> None:
        story = Story(in_flight=2)
        story.answer_all(hold=True)
        feed, client = story.feeds["one:"], story.crews["ftp"].client
        async with told(story):
            for number in (1, 2):
                feed.show(number)
                await until(lambda number=number: len(client.held) == number)
            for number in (3, 4, 5, 6):
                feed.show(number)
            await until(lambda: story.state.dropped == 3)
            assert len(client.held) == 2
            story.answer_all()
            await until(lambda: len(story.shown) == 3)
            assert story.labels == ["1", "2", "6"]
            assert (story.state.answered, story.state.dropped) == (3, 3)

    run(main())


def test_an_answer_that_comes_after_a_newer_one_is_late_and_not_shown() -> None:
    async def main() -> None:
        story = Story()
        story.answer_all(hold=True)
        feed, client = story.feeds["one:"], story.crews["ftp"].client
        async with told(story):
            for number in (1, 2):
                feed.show(number)
                await until(lambda number=number: len(client.held) == number)
            client.held.reverse()
            story.answer_all()
            await until(lambda: story.state.late == 1)
            assert story.labels == ["2"]
            assert story.state.answered == 1

    run(main())


def test_a_pause_lets_no_frame_in_and_shows_those_under_way() -> None:
    async def main() -> None:
        story = Story()
        story.answer_all(hold=True)
        feed, client = story.feeds["one:"], story.crews["ftp"].client
        async with told(story) as camera:
            feed.show(1)
            await until(lambda: client.held)
            await camera.pause(True)
            feed.show(2)
            story.answer_all()
            await until(lambda: story.shown)
            await until(lambda: feed.asked == 3)
            assert story.state.paused
            await camera.pause(False)
            feed.show(3)
            await until(lambda: len(story.shown) == 2)
            assert story.labels == ["1", "3"]
            assert not story.state.paused

    run(main())


def test_another_split_computes_on_the_same_boards() -> None:
    """A frame under way is dropped; the next ones are the other split's."""

    async def main() -> None:
        story = Story()
        story.answer_all(hold=True)
        feed = story.feeds["one:"]
        async with told(story) as camera:
            feed.show(1)
            await until(lambda: story.crews["ftp"].client.held)
            await camera.switch("other")
            assert not story.crews["ftp"].is_open
            assert (story.state.split, story.state.switching) == ("other", False)
            assert story.state.dropped == 1
            feed.show(2)
            await until(lambda: story.crews["other"].client.held)
            story.answer_all()
            await until(lambda: story.shown)
            assert [(result.split, result.frame.label) for result in story.shown] == [
                ("other", "2")
            ]
            await camera.switch("other")

    run(main())


def test_a_split_that_cannot_be_loaded_leaves_the_one_before() -> None:
    async def main() -> None:
        story = Story()
        story.gone.add("other")
        async with told(story) as camera:
            with pytest.raises(InputError, match=r"other could not be loaded: worker of other: no"):
                await camera.switch("other")
            assert story.state.split == "ftp"
            assert "nothing listens there" in story.state.error
            story.feeds["one:"].show(4)
            await until(lambda: story.shown)
            assert story.labels == ["4"]

    run(main())


def test_when_all_boards_are_gone_the_split_is_loaded_once_they_are_back() -> None:
    async def main() -> None:
        story = Story()
        async with told(story) as camera:
            story.gone |= {"ftp", "other"}
            with pytest.raises(InputError, match="other could not be loaded"):
                await camera.switch("other")
            with pytest.raises(InputError, match="no split is loaded"):
                await camera.leave_out("edge-0")
            assert [board.state for board in story.state.boards] == ["lost"] * 4
            story.gone.clear()
            await until(lambda: story.crews["ftp"].is_open)
            story.feeds["one:"].show(4)
            await until(lambda: story.shown)

    run(main())


def test_what_a_page_may_not_ask() -> None:
    async def main() -> None:
        story = Story()
        async with told(story) as camera:
            for asked, message in (
                (camera.switch("lcp:9"), "lcp:9: no such split; there are ftp, other"),
                (camera.choose_source("/etc/passwd"), "/etc/passwd: no such source; there are one"),
                (camera.leave_out("edge-9"), "edge-9: no such board"),
                (camera.leave_out("gateway"), "gateway: the plan ftp:2x2@4 cannot do without it"),
                (camera.take_back("edge-9"), "edge-9: no such board"),
            ):
                with pytest.raises(InputError, match=message):
                    await asked

    run(main())


def test_a_board_is_left_out_and_taken_back_and_answers_go_on() -> None:
    """It stays out when another split is chosen."""

    async def main() -> None:
        story = Story()
        feed = story.feeds["one:"]

        def states() -> list[str]:
            return [board.state for board in story.state.boards]

        async with told(story) as camera:
            await camera.leave_out("edge-1")
            assert states() == ["working", "left out", "working", "working"]
            assert story.state.boards[1].reason == "it was left out"
            feed.show(1)
            await until(lambda: len(story.shown) == 1)
            await camera.switch("other")
            assert states() == ["working", "left out", "working", "working"]
            await camera.take_back("edge-1")
            await until(lambda: set(states()) == {"working"})
            feed.show(2)
            await until(lambda: len(story.shown) == 2)
            assert story.labels == ["1", "2"]

    run(main())


def test_a_board_that_is_lost_is_tried_again_for_ever() -> None:
    async def main() -> None:
        story = Story()
        crew = story.crews["ftp"]
        crew.reachable.discard(1)
        async with told(story):
            crew.lose(1)
            await until(lambda: "nothing listens there" in story.state.boards[1].reason)
            story.feeds["one:"].show(3)
            await until(lambda: story.shown)
            await asyncio.sleep(3 * story.settings.recovery_s)
            crew.reachable.add(1)
            await until(lambda: story.state.boards[1].state == "working")

    run(main())


def test_a_frame_that_fails_is_counted_and_told_and_the_next_is_computed() -> None:
    async def main() -> None:
        story = Story()
        async with told(story):
            client = story.crews["ftp"].client
            client.failing["begin"] = "branch needs 9 MB, free are 3 MB"
            story.feeds["one:"].show(1)
            await until(lambda: story.state.failed == 1)
            assert "branch needs 9 MB" in story.state.error
            client.failing.clear()
            story.feeds["one:"].show(2)
            await until(lambda: story.shown)

    run(main())


def test_another_source() -> None:
    async def main() -> None:
        story = Story()
        async with told(story) as camera:
            story.gone.add("two:")
            with pytest.raises(InputError, match="two:: it cannot be opened"):
                await camera.choose_source("two:")
            assert story.state.source == "one:"
            story.gone.clear()
            story.feeds["one:"].shots.put(InputError("the first is over"))
            await camera.choose_source("two:")
            story.feeds["two:"].show(6)
            await until(lambda: story.shown)
            assert story.state.source == "two:"
            assert story.labels == ["6"]

    run(main())


def test_a_source_that_is_lost_is_told() -> None:
    async def main() -> None:
        story = Story()
        async with told(story):
            story.feeds["one:"].shots.put(InputError("one: no pictures come from it any more"))
            await until(lambda: story.state.source_lost)
            assert story.state.source_lost == "one: no pictures come from it any more"

    run(main())


def test_it_ends_after_so_many_answers_or_when_it_is_told_to() -> None:
    async def main() -> None:
        story = Story()
        async with told(story) as camera:
            story.feeds["one:"].show(1)
            await camera.run(1)
            assert story.state.answered == 1
            camera.stop()
            await camera.run()

    run(main())


def test_no_frame_comes_after_an_end_that_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a second Ctrl-C does, after which there is no event loop for the frame."""
    failures: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    story = Story()

    async def main() -> None:
        await story.pipeline.__aenter__()
        leaving = asyncio.create_task(story.pipeline.__aexit__(None, None, None))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        await story.pipeline._opened().close()

    run(main())
    story.feeds["one:"].show(1)
    story.pipeline._capture._thread.join(TIMEOUT_S)
    assert not failures


def test_what_cannot_be_opened_at_first_is_an_error_and_leaves_nothing() -> None:
    async def main(gone: str, message: str) -> None:
        story = Story()
        story.gone.add(gone)
        with pytest.raises((InputError, WorkerError), match=message):
            async with told(story):
                pass

    run(main("one:", "one:: it cannot be opened"))
    run(main("ftp", "worker of ftp: nothing listens there"))


def test_a_defect_of_who_is_shown_results_ends_the_pipeline() -> None:
    async def main() -> None:
        story = Story()

        def show(result: Result) -> None:
            raise ZeroDivisionError("a defect")

        story.pipeline._show = show
        story.feeds["one:"].show(1)

        async def live() -> None:
            async with told(story) as camera:
                await camera.run()

        with pytest.raises(ZeroDivisionError):
            await live()

    run(main())

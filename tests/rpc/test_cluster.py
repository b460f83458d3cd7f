"""Frames through a cluster whose nodes only pretend: both fronts, and what can happen to them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.rpc.cluster import Cluster, Kept
from lcp_tvm.rpc.inputs import Input
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.statistics import FrameUse, Statistics
from tests.plan.plans import chain, tiles
from tests.rpc.fake_nodes import FakeCrew
from tests.rpc.pretended import (
    TIMEOUT_S,
    blocking,
    cluster,
    compute_tile,
    picture,
    run,
    score,
    scores,
    until,
)


def test_nodes_are_prepared_connected_and_told_the_routes(crew: FakeCrew) -> None:
    """Each connects to those of lower numbers; the client to all."""
    with blocking(crew):
        modules = [*crew.nodes, crew.client]
        for number, module in enumerate(modules):
            (program,) = module.called("prepare")[0]
            assert json.loads(program)["node"] == number
            ((peers, _),) = module.called("connect")
            assert json.loads(peers) == [[n, "127.0.0.1", 7000 + n] for n in range(number)]
            ((route,),) = module.called("route")
            assert json.loads(route)["places"] == [0, 1, 2]


def test_infer(crew: FakeCrew) -> None:
    async def main() -> None:
        async with cluster(crew) as c:
            assert scores(await c.infer(picture())) == score(1)
            assert scores(await c.infer([picture(2)], source=1)) == score(2)

    run(main)
    routes = [json.loads(route)["source"] for (route,) in crew.client.called("route")]
    assert routes == [0, 1]


def test_infer_without_asyncio(crew: FakeCrew) -> None:
    with blocking(crew) as c:
        assert scores(c.infer(picture())) == score(1)
        assert scores(c.infer([picture(2)], source=1)) == score(2)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3, 8, 8), np.float32), r"is float32 \[1, 3, 32, 32\]; given is float32"),
        (np.zeros((1, 3, 32, 32)), r"given is float64 \[1, 3, 32, 32\]"),
        ([], "the plan has 1 inputs; given are 0"),
    ],
)
def test_inputs_of_another_shape_or_type(crew: FakeCrew, x: Input, message: str) -> None:
    with blocking(crew) as c, pytest.raises(InputError, match=message):
        c.infer(x)


def test_a_source_that_is_not_there(crew: FakeCrew) -> None:
    with blocking(crew) as c, pytest.raises(InputError, match="source 2 is not a device"):
        c.infer(picture(), source=2)


def test_inputs_that_numpy_does_not_hold_in_order(crew: FakeCrew) -> None:
    with blocking(crew) as c:
        turned = picture().transpose(0, 1, 3, 2)
        fixed = picture(3)
        fixed.flags.writeable = False
        assert [scores(c.infer(x)) for x in (turned, fixed)] == [score(1), score(3)]


def test_a_stream_keeps_frames_in_flight_and_their_order(crew: FakeCrew) -> None:
    """Four frames are begun before the first is done."""
    crew.client.gate.clear()

    async def main() -> list[float]:
        async with cluster(crew) as c:
            stream = c.stream(picture(n) for n in range(6))
            first = asyncio.ensure_future(anext(stream))
            await until(lambda: len(crew.client.held) == 4)
            crew.client.release()
            return [scores(await first), *[scores(outputs) async for outputs in stream]]

    assert run(main) == [score(n) for n in range(6)]


def test_every_replica_has_frames_in_flight() -> None:
    """Three replicas, four frames each."""
    fake = FakeCrew(chain(1), lambda _, arguments: [np.zeros((1, 16, 224, 224), np.float32)], 3)
    fake.client.gate.clear()

    async def main() -> None:
        async with Cluster.on(fake.client.plan, fake.crew()) as c:
            stream = c.stream(np.zeros((1, 3, 224, 224), np.float32) for _ in range(20))
            first = asyncio.ensure_future(anext(stream))
            await until(lambda: len(fake.client.held) == 12)
            fake.client.release()
            await first
            await stream.aclose()

    run(main)


def test_a_stream_of_what_comes_later(crew: FakeCrew) -> None:
    async def pictures() -> AsyncIterator[np.ndarray]:
        for number in range(3):
            await asyncio.sleep(0)
            yield picture(number)

    async def main() -> list[float]:
        async with cluster(crew) as c:
            return [scores(outputs) async for outputs in c.stream(pictures())]

    assert run(main) == [score(n) for n in range(3)]


def test_a_stream_without_asyncio(crew: FakeCrew) -> None:
    with blocking(crew) as c:
        found = [scores(outputs) for outputs in c.stream(picture(n) for n in range(6))]
    assert found == [score(n) for n in range(6)]


def test_a_stream_that_is_left_ends_its_frames(crew: FakeCrew) -> None:
    async def main() -> None:
        async with cluster(crew) as c:
            stream = c.stream(picture(n) for n in range(6))
            await anext(stream)
            crew.client.gate.clear()
            await anext(stream)
            await stream.aclose()
            assert crew.client.held == []

    run(main)


def test_sharing_takes_one_frame_at_a_time() -> None:
    fake = FakeCrew(tiles(2, 2), compute_tile, devices=2)
    fake.client.gate.clear()

    async def main() -> None:
        async with Cluster.on(fake.client.plan, fake.crew(), Settings(policy="sharing")) as c:
            x = np.ones((1, 3, 16, 16), np.float32)
            both = [asyncio.ensure_future(c.infer(x)) for _ in range(2)]
            await until(lambda: len(fake.client.held) == 1)
            assert len(fake.client.called("begin")) == 1
            fake.client.release()
            await asyncio.gather(*both)

    run(main)


def test_sources_take_turns(crew: FakeCrew) -> None:
    with blocking(crew, Settings(sources=(1, 0))) as c:
        for _ in range(3):
            c.infer(picture())
    sources = {
        json.loads(route)["id"]: json.loads(route)["source"]
        for (route,) in crew.client.called("route")
    }
    assert [sources[begun[1]] for begun in crew.client.called("begin")] == [1, 0, 1]


def test_inputs_that_a_source_keeps(crew: FakeCrew) -> None:
    crew.client.kept["camera"] = [picture(5)]

    async def main() -> None:
        async with cluster(crew) as c:
            await c.keep("camera", [picture(5)], source=1)
            assert scores(await c.infer(Kept("camera"), source=1)) == score(5)

    run(main)
    ((name, _),) = crew.nodes[1].called("keep")
    assert name == "camera"


@pytest.mark.parametrize("front", ["asyncio", "blocking"])
def test_a_frame_that_takes_too_long_fails_and_the_next_does_not(
    crew: FakeCrew, front: str
) -> None:
    """begin -> deadline -> WorkerError, end; then as if nothing had been."""
    crew.client.gate.clear()
    late = "no result of frame 0 within 0.05 s"

    async def main() -> None:
        async with cluster(crew) as c:
            with pytest.raises(WorkerError, match=late):
                await c.infer(picture(), deadline_s=0.05)
            crew.client.gate.set()
            assert scores(await c.infer(picture(2))) == score(2)

    if front == "asyncio":
        run(main)
    else:
        with blocking(crew) as c:
            with pytest.raises(WorkerError, match=late):
                c.infer(picture(), deadline_s=0.05)
            crew.client.gate.set()
            assert scores(c.infer(picture(2))) == score(2)
    assert crew.client.called("end") == [(0,)]


def test_a_cancelled_frame_is_ended_and_the_next_runs(crew: FakeCrew) -> None:
    crew.client.gate.clear()

    async def main() -> None:
        async with cluster(crew) as c:
            frame = asyncio.ensure_future(c.infer(picture()))
            await until(lambda: len(crew.client.held) == 1)
            frame.cancel()
            with pytest.raises(asyncio.CancelledError):
                await frame
            crew.client.gate.set()
            assert scores(await c.infer(picture(2))) == score(2)

    run(main)
    assert crew.client.called("end") == [(0,)]


@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_ends_the_frame_and_the_next_runs(crew: FakeCrew) -> None:
    crew.client.gate.clear()

    def interrupt() -> None:
        begun.wait(TIMEOUT_S)
        os.kill(os.getpid(), signal.SIGINT)

    begun = threading.Event()
    crew.client.do_begin = lambda *_: begun.set()  # type: ignore[method-assign]
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with blocking(crew) as c:
        with pytest.raises(KeyboardInterrupt):
            c.infer(picture())
        interrupter.join()
        del crew.client.do_begin
        crew.client.gate.set()
        assert scores(c.infer(picture(2))) == score(2)
    assert crew.client.called("end") == [(0,)]


def test_a_function_that_fails_names_its_device(crew: FakeCrew) -> None:
    crew.client.gate.clear()
    with blocking(crew) as c:
        crew.client.events.put(["failed", 0, 1, "branch1 needs 9 MB, free are 3 MB"])
        with pytest.raises(WorkerError, match="edge-1: branch1 needs 9 MB, free are 3 MB"):
            c.infer(picture())


def test_a_node_that_takes_no_frames(crew: FakeCrew) -> None:
    crew.client.failing["begin"] = "out of memory"
    with blocking(crew) as c, pytest.raises(WorkerError, match="edge-0: out of memory"):
        c.infer(picture())


def test_statistics(crew: FakeCrew) -> None:
    """Of the nodes that are there, since the last time."""
    crew.nodes[0].counters["frames"] = [[0, 0, 5_000_000, 3_000_000, 1_000_000, 7, 9, 1, 0, 0]]
    crew.nodes[1].failing["stats"] = "the session ended"

    async def main() -> tuple[Statistics, Statistics]:
        async with cluster(crew) as c:
            await c.infer(picture())
            return await c.stats(), await c.stats()

    first, second = run(main)
    assert [frame.number for frame in first.frames] == [0]
    assert first.uses == (FrameUse(0, "edge-0", 3.0, 2.0, 1.0, 7, 9, 1, 0, 0),)
    assert [memory.device for memory in first.memory] == ["edge-0", "gateway"]
    assert second.frames == ()


def test_closing_ends_frames_under_way(crew: FakeCrew) -> None:
    crew.client.gate.clear()

    async def main() -> None:
        async with cluster(crew) as c:
            frame = asyncio.ensure_future(c.infer(picture()))
            await until(lambda: len(crew.client.held) == 1)
        with pytest.raises(WorkerError, match="the cluster was closed"):
            await frame

    run(main)


def test_a_node_that_refuses_the_program(crew: FakeCrew) -> None:
    crew.nodes[1].failing["prepare"] = "branch1 needs 40 MB, the limit is 30 MB"
    with pytest.raises(WorkerError, match="branch1 needs 40 MB"), blocking(crew):
        pass
    crew.is_open = False


def test_a_cluster_that_is_not_open(crew: FakeCrew) -> None:
    with pytest.raises(WorkerError, match="the cluster is not open"):
        blocking(crew).infer(picture())

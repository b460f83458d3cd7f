"""Frames through a cluster that loses nodes, has them back, or leaves them out."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.settings import Settings
from tests.plan.plans import tiles
from tests.rpc.fake_nodes import FakeCrew
from tests.rpc.pretended import (
    SOON,
    blocking,
    cluster,
    compute_tile,
    picture,
    run,
    score,
    scores,
    until,
)


@pytest.mark.parametrize("front", ["asyncio", "blocking"])
def test_a_frame_waits_for_a_node_that_is_restored(crew: FakeCrew, front: str) -> None:
    """begin -> lost -> a new session, program, connections -> begin again."""
    crew.client.gate.clear()

    async def main() -> None:
        async with cluster(crew) as c:
            await c.keep("camera", [picture(5)], source=1)
            frame = asyncio.ensure_future(c.infer(picture(3)))
            await until(lambda: len(crew.client.held) == 1)
            crew.lose(1)
            await until(lambda: len(crew.client.called("begin")) == 2)
            crew.client.release()
            assert scores(await frame) == score(3)

    if front == "asyncio":
        run(main)
        assert len(crew.nodes[1].called("keep")) == 1
    else:
        with blocking(crew) as c:
            crew.lose(1)
            crew.client.do_end = lambda _: crew.client.gate.set()  # type: ignore[method-assign]
            assert scores(c.infer(picture(3))) == score(3)
        crew.client.held.clear()
    numbers = [arguments[0] for arguments in crew.client.called("begin")]
    assert numbers == [0, 1]
    ((peers, _),) = crew.nodes[1].called("connect")
    assert json.loads(peers) == [[0, "127.0.0.1", 7000]]
    for other in (crew.nodes[2], crew.client):
        assert json.loads(other.called("connect")[-1][0]) == [[1, "127.0.0.1", 7001]]


@pytest.mark.parametrize("front", ["asyncio", "blocking"])
def test_a_node_that_is_lost_again_while_it_is_restored(crew: FakeCrew, front: str) -> None:
    """It is restored once more: nobody would tell of its loss later."""
    restored = []

    def connect(peers: str, _: int) -> None:
        restored.append(crew.nodes[1])
        if len(restored) == 1:
            crew.lose(1)

    crew.client.gate.clear()

    async def main() -> None:
        async with cluster(crew) as c:
            crew.nodes[2].do_connect = connect  # type: ignore[attr-defined]
            frame = asyncio.ensure_future(c.infer(picture(3)))
            await until(lambda: len(crew.client.held) == 1)
            crew.lose(1)
            # The second loss may be told after the frame has begun again; then it begins once more.
            await until(lambda: len(restored) == 2 and len(crew.client.held) == 1)
            crew.client.release()
            assert scores(await frame) == score(3)

    if front == "asyncio":
        run(main)
    else:
        with blocking(crew) as c:
            crew.lose(1)
            crew.nodes[2].do_connect = connect  # type: ignore[attr-defined]
            crew.client.do_end = lambda _: crew.client.gate.set()  # type: ignore[method-assign]
            assert scores(c.infer(picture(3))) == score(3)
        crew.client.held.clear()
    first, second = restored
    assert first is not second
    assert crew.nodes[1] is second


def test_a_frame_fails_when_its_node_does_not_come_back(crew: FakeCrew) -> None:
    crew.client.gate.clear()
    crew.reachable.remove(1)
    with blocking(crew) as c:
        crew.lose(1)
        for _ in range(2):
            with pytest.raises(WorkerError, match=r"edge-1: it is lost, .*nothing listens there"):
                c.infer(picture())
    crew.client.held.clear()


def test_a_node_that_nobody_wants_back(crew: FakeCrew) -> None:
    crew.client.gate.clear()
    with blocking(crew, Settings(recovery_s=0.0)) as c:
        crew.lose(1)
        with pytest.raises(WorkerError, match=r"edge-1: it is lost, .*killed; nobody tries"):
            c.infer(picture())
    crew.client.held.clear()
    assert len(crew.nodes[1].called("prepare")) == 1


def test_a_frame_is_redone_without_a_node_that_the_plan_can_do_without() -> None:
    fake = FakeCrew(tiles(2, 2), compute_tile, devices=3)
    fake.reachable.remove(1)
    fake.client.gate.clear()

    async def main() -> None:
        async with Cluster.on(fake.client.plan, fake.crew(), SOON) as c:
            frame = asyncio.ensure_future(c.infer(np.ones((1, 3, 16, 16), np.float32)))
            await until(lambda: len(fake.client.held) == 1)
            fake.lose(1)
            await until(lambda: len(fake.client.called("begin")) == 2)
            fake.client.release()
            await frame

    run(main)
    routes = [json.loads(route)["places"] for (route,) in fake.client.called("route")]
    assert routes == [[0, 1, 2, 0, 3], [0, 2, 0, 2, 3]]


def test_a_node_is_left_out_and_taken_back() -> None:
    """Its session is cut, which frees it; taken back it has a new one."""
    fake = FakeCrew(tiles(2, 2), compute_tile, devices=3)
    x = np.ones((1, 3, 16, 16), np.float32)

    async def main() -> None:
        async with Cluster.on(fake.client.plan, fake.crew(), SOON) as c:
            before = fake.nodes[1]
            c.leave_out("edge-1")
            assert [standing.state for standing in c.standings()].index("left out") == 1
            await c.infer(x)
            (*_, (route,)) = fake.client.called("route")
            assert json.loads(route)["devices"] == [0, 2]
            c.take_back("edge-1")
            await until(lambda: {standing.state for standing in c.standings()} == {"working"})
            assert fake.nodes[1] is not before
            await c.infer(x)

    run(main)


def test_a_node_that_the_plan_needs_is_not_left_out(crew: FakeCrew) -> None:
    async def main() -> None:
        async with cluster(crew) as c:
            with pytest.raises(InputError, match="edge-1: the plan lcp:2 cannot do without it now"):
                c.leave_out("edge-1")
            with pytest.raises(InputError, match="tile: no such board; there are edge-0, edge-1"):
                c.take_back("tile")
            assert scores(await c.infer(picture())) == score(1)

    run(main)

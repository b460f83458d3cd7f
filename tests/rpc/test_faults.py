"""What can go wrong in a run on real processes: no frame is lost, nothing hangs, nothing dies.

Boards are paced so that a fault always comes while frames are computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from lcp_tvm.errors import WorkerError
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.launch import Launch
from lcp_tvm.rpc.program import Pace
from lcp_tvm.rpc.session import WorkerSession
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from tests.rpc.processes import WorkerProcess, worker_processes
from tests.rpc.proxied import ProxiedCrew
from tests.rpc.split_packages import Answers, compute_answers, same_bits, split_package

TEST_LIMIT_S = 90.0
DEADLINE_S = 20.0
CALL_MS = 100.0
FRAMES = 6

Frame = asyncio.Future[tuple[np.ndarray, ...]]


class Net:
    """A package and the answers to its frames."""

    def __init__(self, split: str, folder: Path) -> None:
        self.package: Package = split_package(split, folder)
        self.answers: Answers = compute_answers(self.package, FRAMES)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Net]:
    """Return nets by their split, each compiled once."""
    known: dict[str, Net] = {}

    def net(split: str) -> Net:
        if split not in known:
            known[split] = Net(split, tmp_path_factory.mktemp("net"))
        return known[split]

    return net


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """Return three workers, and a fourth that tests take as the gateway."""
    with worker_processes(4) as processes:
        yield processes


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's story; it fails when it hangs."""
    asyncio.run(asyncio.wait_for(main, TEST_LIMIT_S))


def members(workers: Sequence[WorkerProcess]) -> Workers:
    *devices, gateway = (worker.address for worker in workers)
    return Workers(tuple(devices), gateway)


def settings(
    net: Net,
    policy: Policy = "static",
    *,
    deadline_s: float = DEADLINE_S,
    recovery_s: float = 0.0,
    silence_s: float = DEADLINE_S,
    call_ms: float = CALL_MS,
) -> Settings:
    """Return settings under which every call takes its time."""
    functions = len(net.package.plan().functions)
    return Settings(
        policy=policy,
        deadline_s=deadline_s,
        silence_s=silence_s,
        recovery_s=recovery_s,
        pace=Pace([[call_ms] * functions] * 5, poll_ms=5),
    )


def begin(cluster: Cluster, net: Net) -> list[Frame]:
    return [asyncio.ensure_future(cluster.infer(x)) for x in net.answers.pictures]


async def under_way(cluster: Cluster, net: Net) -> list[Frame]:
    """Begin frames and wait until calls of some have begun; none has ended."""
    while True:
        frames = begin(cluster, net)
        await asyncio.sleep(0.5 * CALL_MS / 1e3)
        if not any(frame.done() for frame in frames):
            return frames
        await all_right(frames, net)  # this process was stopped for longer than a call takes


async def all_right(frames: Sequence[Frame], net: Net) -> None:
    for frame, expected in zip(frames, net.answers.outputs, strict=True):
        assert same_bits(await frame, expected)


async def right_again(cluster: Cluster, net: Net) -> None:
    """New frames are computed as if nothing had been."""
    await all_right(begin(cluster, net), net)


FREE = [("ftp:3x3@3", "static"), ("ftp:3x3@3:reuse", "stealing"), ("ftp:3x3@3:reuse", "sharing")]
"""Plans and policies that can do without any one of the three devices."""


@pytest.mark.parametrize(("split", "policy"), [*FREE, ("none", "static")])
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("part", ["worker", "session"])
def test_tasks_of_a_killed_worker_are_done_elsewhere(
    nets: Callable[[str], Net],
    workers: list[WorkerProcess],
    split: str,
    policy: Policy,
    victim: int,
    part: str,
) -> None:
    net = nets(split)

    async def story() -> None:
        async with Cluster(net.package, members(workers), settings(net, policy)) as cluster:
            frames = await under_way(cluster, net)
            if part == "worker":
                workers[victim].kill()
            else:
                workers[victim].kill_sessions()
            await all_right(frames, net)
            await right_again(cluster, net)

    run(story())


def test_a_frame_that_needs_the_killed_worker_fails_with_its_name(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("pipeline:3")

    async def story() -> None:
        async with Cluster(net.package, members(workers), settings(net)) as cluster:
            frames = await under_way(cluster, net)
            begun = time.monotonic()
            workers[1].kill()
            for frame in frames:
                with pytest.raises(WorkerError, match=r"^edge-1: "):
                    await frame
            assert time.monotonic() - begun < DEADLINE_S

    run(story())


def test_a_board_that_is_left_out_is_free_and_comes_back(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    """Frames under way are done elsewhere; meanwhile another orchestrator may take the board."""
    net = nets("ftp:3x3@3")

    async def story() -> None:
        patient = settings(net, recovery_s=DEADLINE_S)
        async with Cluster(net.package, members(workers), patient) as cluster:
            frames = await under_way(cluster, net)
            cluster.leave_out("edge-1")
            await all_right(frames, net)
            await asyncio.to_thread(lambda: WorkerSession.connect(*workers[1].address).close())
            cluster.take_back("edge-1")
            while cluster.standings()[1].state != "working":
                await asyncio.sleep(0.02)
            await cluster.stats()
            await right_again(cluster, net)
            assert "edge-1" in {use.device for use in (await cluster.stats()).uses}

    run(story())


def test_a_worker_that_comes_back_goes_on(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("pipeline:3")

    async def story() -> None:
        plan = settings(net, recovery_s=DEADLINE_S)
        async with Cluster(net.package, members(workers), plan) as cluster:
            frames = await under_way(cluster, net)
            workers[1].kill()
            await asyncio.to_thread(workers[1].restart)
            await all_right(frames, net)

    run(story())


@pytest.mark.parametrize(("split", "policy"), FREE)
def test_tasks_of_a_frozen_worker_are_done_elsewhere(
    nets: Callable[[str], Net], workers: list[WorkerProcess], split: str, policy: Policy
) -> None:
    net = nets(split)

    async def story() -> None:
        impatient = settings(net, policy, silence_s=1.0)
        async with Cluster(net.package, members(workers), impatient) as cluster:
            frames = await under_way(cluster, net)
            workers[1].freeze()
            await all_right(frames, net)
        workers[1].thaw()
        async with Cluster(net.package, members(workers), settings(net, policy)) as cluster:
            await right_again(cluster, net)

    run(story())


@pytest.mark.parametrize("silence_s", [1.0, 60.0], ids=["noticed", "unnoticed"])
def test_a_frame_that_needs_a_frozen_worker_fails_in_time(
    nets: Callable[[str], Net], workers: list[WorkerProcess], silence_s: float
) -> None:
    """Noticed or not: with a long patience the frame's own deadline ends it."""
    net = nets("pipeline:3")

    async def story() -> None:
        plan = settings(net, deadline_s=4.0, silence_s=silence_s, recovery_s=60.0)
        begun = time.monotonic()
        async with Cluster(net.package, members(workers), plan) as cluster:
            frames = await under_way(cluster, net)
            workers[1].freeze()
            for frame in frames:
                with pytest.raises(WorkerError, match=r"^edge-1: "):
                    await frame
            assert time.monotonic() - begun < 30.0

    run(story())


@pytest.mark.parametrize("after", [60, 2000, 5000], ids=["head", "tensor", "later"])
@pytest.mark.parametrize(("split", "policy"), [("pipeline:3", "static"), *FREE])
def test_a_connection_that_breaks_in_mid_tensor(
    nets: Callable[[str], Net],
    workers: list[WorkerProcess],
    split: str,
    policy: Policy,
    after: int,
) -> None:
    """Both ends live, so the frames are computed in the end, with all devices."""
    net = nets(split)

    async def story() -> None:
        plan = settings(net, policy, recovery_s=DEADLINE_S, call_ms=20.0)
        launch = Launch(
            net.package, net.package.plan(), members(workers), plan, lambda what, part: None
        )
        crew = ProxiedCrew(launch, 0)
        async with Cluster.on(net.package.plan(), crew, plan) as cluster:
            (proxy,) = crew.node.proxies
            proxy.cut_after(after)
            await right_again(cluster, net)
            assert proxy.cuts == 1
            await right_again(cluster, net)

    run(story())


def header(**values: int) -> bytes:
    """A message's first 48 bytes, as docs/runtime.md has them; a HELLO unless something differs."""
    fields = {
        "magic": 0x4650434C, "version": 1, "kind": 1, "ndim": 0, "zero": 0, "run": 0,
        "frame": 0, "route": 0, "task": 0, "tensor": 0, "word": 0, "payload": 0,
    }  # fmt: skip
    fields |= values
    return struct.pack("<IBBBBQQIIIIQ", *fields.values())


STRANGERS = {
    "nothing": b"",
    "noise": np.random.default_rng(0).bytes(100_000),
    "zeros": bytes(4096),
    "http": b"GET / HTTP/1.1\r\nHost: board\r\n\r\n",
    "half a header": header()[:20],
    "another version": header(version=2),
    "another run": header(run=1, payload=3) + b"0.1",
    "an unknown kind": header(kind=200),
    "many dimensions": header(ndim=255) + bytes(2040),
    "a payload of 16 EiB": header(payload=(1 << 64) - 1),
    "a long version": header(payload=1 << 20) + bytes(1 << 20),
    "a region before a hello": header(kind=6, ndim=4, payload=4096) + bytes(32 + 4096),
    "a region of 16 GiB": header(kind=6, ndim=1, payload=1 << 34) + struct.pack("<II", 0, 1 << 31),
    "an end before a hello": header(kind=9),
}
"""What somebody may say who connects to a transport port."""


def test_strangers_at_the_transport_port_change_nothing(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("ftp:3x3@3:reuse")

    async def story() -> None:
        plan = settings(net, "stealing", call_ms=20.0)
        async with Cluster(net.package, members(workers), plan) as cluster:
            before = [[p.pid for p in worker.processes()] for worker in workers]
            ports = [port for worker in workers for port in transport_ports(worker)]
            assert len(ports) == len(workers)
            frames = begin(cluster, net)
            with contextlib.ExitStack() as stack:
                for port in ports:
                    for text in STRANGERS.values():
                        with contextlib.suppress(ConnectionError):
                            stranger = socket.create_connection(("127.0.0.1", port), 5)
                            stack.enter_context(stranger)
                            stranger.settimeout(5)
                            await asyncio.to_thread(stranger.sendall, text)
                await all_right(frames, net)
            await right_again(cluster, net)
            assert [[p.pid for p in worker.processes()] for worker in workers] == before
            assert max(resident_mb(worker) for worker in workers) < 500

    run(story())


@pytest.mark.parametrize("what", sorted(STRANGERS.keys() - {"nothing", "half a header"}))
def test_a_stranger_is_turned_away(
    nets: Callable[[str], Net], workers: list[WorkerProcess], what: str
) -> None:
    net = nets("none")

    async def story() -> None:
        async with Cluster(net.package, members(workers[:2]), settings(net)):
            (port,) = transport_ports(workers[0])
            with socket.create_connection(("127.0.0.1", port), 5) as stranger:
                stranger.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    await asyncio.to_thread(stranger.sendall, STRANGERS[what])
                    while await asyncio.to_thread(stranger.recv, 4096):
                        pass

    run(story())


def transport_ports(worker: WorkerProcess) -> list[int]:
    """Return where a worker's sessions listen for their peers."""
    return [
        connection.laddr.port
        for process in worker.processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port != worker.address[1]
    ]


def resident_mb(worker: WorkerProcess) -> float:
    return sum(process.memory_info().rss for process in worker.processes()) / 1e6


def test_a_second_orchestrator_is_told_that_the_workers_are_busy(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("ftp:3x3@3")

    async def story() -> None:
        async with Cluster(net.package, members(workers), settings(net)) as cluster:
            frames = begin(cluster, net)
            with pytest.raises(WorkerError, match="busy with another session"):
                async with Cluster(net.package, members(workers), settings(net)):
                    pass
            await all_right(frames, net)

    run(story())


@contextlib.asynccontextmanager
async def orchestrator(
    net: Net, workers: Sequence[WorkerProcess]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An orchestrator in a process of its own, which has begun to compute frames."""
    addresses = [f"{host}:{port}" for host, port in (worker.address for worker in workers)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.rpc.orchestrate", str(net.package.path), *addresses,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"0\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def test_workers_of_a_killed_orchestrator_are_free_within_five_seconds(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("none")
    devices = workers[:2]

    async def story() -> None:
        async with orchestrator(net, devices) as process:
            serving = {p for worker in devices for p in worker.processes()}
            process.kill()
            killed = time.monotonic()
            while True:
                with contextlib.suppress(WorkerError):
                    async with Cluster(net.package, Workers((devices[0].address,))) as cluster:
                        free_after = time.monotonic() - killed
                        await right_again(cluster, net)
                        break
                assert time.monotonic() - killed < 5.0
            assert free_after < 5.0
        own = {psutil.Process(worker.pid) for worker in devices}
        psutil.wait_procs(serving - own, timeout=5.0)
        assert not [p for p in serving - own if p.is_running()]

    run(story())


@pytest.mark.usefixtures("heeded_ctrl_c")  # a process that is started inherits it
def test_ctrl_c_ends_an_orchestrator_and_frees_the_workers(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("ftp:3x3@3")
    devices = workers[:2]

    async def story() -> None:
        async with orchestrator(net, devices) as process:
            process.send_signal(signal.SIGINT)
            _, errors = await asyncio.wait_for(process.communicate(), 15)
            assert process.returncode == -signal.SIGINT
            assert errors.decode().splitlines()[-1].startswith("KeyboardInterrupt")
        addresses = tuple(worker.address for worker in devices)
        async with Cluster(net.package, Workers(addresses)) as cluster:
            await right_again(cluster, net)

    run(story())


def test_ctrl_c_ends_a_worker_in_mid_frame(
    nets: Callable[[str], Net], workers: list[WorkerProcess]
) -> None:
    net = nets("ftp:3x3@3")

    async def story() -> None:
        async with Cluster(net.package, members(workers), settings(net)) as cluster:
            frames = await under_way(cluster, net)
            assert await asyncio.to_thread(workers[1].interrupt, 10) == 0
            await all_right(frames, net)

    run(story())

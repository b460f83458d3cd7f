"""Frames while workers die at random: each must be right, or reported failed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lcp_tvm.errors import WorkerError
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Policy
from lcp_tvm.rpc.cluster import Cluster
from lcp_tvm.rpc.program import Pace
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from tests.rpc.processes import WorkerProcess
from tests.rpc.split_packages import Answers, same_bits

AT_ONCE = 8
CALL_MS = 30.0
"""Every call takes so long, so that few frames pass between two mishaps."""

DEADLINE_S = 15.0
GRACE_S = 5.0
"""How much later than its deadline a frame may be reported."""


@dataclass(slots=True)
class Tally:
    """What became of frames, and what was done to workers."""

    right: int = 0
    failed: int = 0
    wrong: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    kills: int = 0
    session_kills: int = 0
    freezes: int = 0
    seconds: float = 0.0

    @property
    def frames(self) -> int:
        return self.right + self.failed + len(self.wrong)


class Supervisor:
    """Harms workers at random, and starts those that have died again."""

    def __init__(self, workers: Sequence[WorkerProcess], mean_s: float, seed: int) -> None:
        """Take the workers.

        Parameters
        ----------
        mean_s : between two mishaps; they come at random (exponentially distributed).
        """
        self._workers = workers
        self._mean_s = mean_s
        self._random = random.Random(seed)

    async def run(self, tally: Tally, done: asyncio.Event) -> None:
        """Go on until it is done; all workers are well afterwards."""
        while not done.is_set():
            await asyncio.sleep(self._random.expovariate(1 / self._mean_s))
            worker = self._random.choice(self._workers)
            mishap = self._random.choice((self._kill, self._kill_session, self._freeze))
            await mishap(worker, tally)

    async def _kill(self, worker: WorkerProcess, tally: Tally) -> None:
        tally.kills += 1
        worker.kill()
        await asyncio.sleep(self._random.uniform(0, 0.5))
        await asyncio.to_thread(worker.restart)

    async def _kill_session(self, worker: WorkerProcess, tally: Tally) -> None:
        tally.session_kills += 1
        worker.kill_sessions()

    async def _freeze(self, worker: WorkerProcess, tally: Tally) -> None:
        tally.freezes += 1
        worker.freeze()
        await asyncio.sleep(self._random.uniform(0, 2.0))
        worker.thaw()


async def run_under_chaos(
    package: Package,
    answers: Answers,
    workers: Sequence[WorkerProcess],
    policy: Policy,
    *,
    frames: int,
    mean_s: float,
    seed: int = 0,
) -> Tally:
    """Run so many frames, several at a time, while a supervisor harms all workers but the last.

    The last worker is the gateway. Afterwards, with all workers well, frames must be right again.
    """
    *devices, gateway = workers
    settings = Settings(
        policy=policy,
        sources=tuple(range(len(devices))),
        in_flight=AT_ONCE,
        deadline_s=DEADLINE_S,
        silence_s=1.0,
        pace=Pace([[CALL_MS] * len(package.plan().functions)] * (len(workers) + 1), poll_ms=2),
    )
    members = Workers(tuple(worker.address for worker in devices), gateway.address)
    tally = Tally()
    begun = time.monotonic()
    async with Cluster(package, members, settings) as cluster:
        numbers = iter(range(frames))

        async def feed() -> None:
            for number in numbers:
                await _one(cluster, answers, number, tally)

        done = asyncio.Event()
        async with asyncio.TaskGroup() as mishaps:
            mishaps.create_task(Supervisor(devices, mean_s, seed).run(tally, done))
            async with asyncio.TaskGroup() as feeders:
                for _ in range(AT_ONCE):
                    feeders.create_task(feed())
            done.set()
        tally.seconds = time.monotonic() - begun
        await _well_again(cluster, answers)
    return tally


async def _one(cluster: Cluster, answers: Answers, number: int, tally: Tally) -> None:
    which = number % len(answers.pictures)
    begun = time.monotonic()
    try:
        outputs = await cluster.infer(answers.pictures[which])
    except WorkerError:
        tally.failed += 1
    else:
        if same_bits(outputs, answers.outputs[which]):
            tally.right += 1
        else:
            tally.wrong.append(number)
    if time.monotonic() - begun > DEADLINE_S + GRACE_S:
        tally.late.append(number)


async def _well_again(cluster: Cluster, answers: Answers) -> None:
    """Wait until frames are right once more; the test's own deadline bounds this."""
    while True:
        tally = Tally()
        for number in range(len(answers.pictures)):
            await _one(cluster, answers, number, tally)
        assert not tally.wrong
        if not tally.failed:
            return

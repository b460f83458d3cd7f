"""Whatever happens in whatever order: every frame ends once, and no lost node is asked for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.frames import (
    Announce,
    Begin,
    Done,
    End,
    Fail,
    Frame,
    Frames,
    Inputs,
    Order,
    Restore,
)
from lcp_tvm.rpc.routes import Route, Router
from tests.plan.plans import branches, chain, tiles

DEVICES, GATEWAY, LIMIT = 3, 3, 2
NAMES = ("edge-0", "edge-1", "edge-2", "gateway", "client")

Step = tuple[str, int, int]
"""What happens, and two numbers that say to whom."""

STEPS = ("submit", "submit", "done", "done", "failed", "lost", "link", "answer", "answer")
STEPS += ("refuse", "expire", "cancel", "leave out", "take back")


class Story:
    """Frames, and all that was ordered so far; `follow` checks each order."""

    def __init__(self, plan: Plan, policy: Policy) -> None:
        machines = Machines(DEVICES, GATEWAY)
        self.router = Router(plan, find_reads(plan), NAMES, machines, policy)
        self.frames = Frames(self.router, NAMES, GATEWAY, LIMIT)
        self.open: list[Frame] = []
        self.running: dict[int, Frame] = {}
        self.begun = -1
        self.known: set[int] = set()
        self.jobs: deque[Announce | Restore] = deque()

    def follow(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Begin(frame, number, route):
                    assert number > self.begun
                    assert frame in self.open
                    assert frame not in self.running.values()
                    assert route.id in self.known
                    self.begun, self.running[number] = number, frame
                case End(number):
                    del self.running[number]
                case Done(frame):
                    self.open.remove(frame)
                    self.running = {n: f for n, f in self.running.items() if f is not frame}
                case Fail(frame):
                    self.open.remove(frame)
                case Announce() | Restore():
                    self.jobs.append(order)
        assert len(self.running) <= LIMIT
        assert len([job for job in self.jobs if isinstance(job, Restore)]) <= 1
        left_out = {n for n in range(DEVICES + 1) if self.frames.is_left_out(n)}
        assert left_out <= self.router.lost
        for frame in self.running.values():
            assert frame.route is not None
            assert not nodes_of(frame.route) & self.router.lost

    def happen(self, what: str, one: int, other: int) -> None:
        frames = self.frames
        if what == "submit":
            frame = Frame(Inputs(), None if one > 2 else one, 5.0)
            self.open.append(frame)
            self.follow(frames.submit(frame))
        elif what in ("done", "failed") and self.running:
            number = list(self.running)[one % len(self.running)]
            self.follow(
                frames.done(number, ()) if what == "done" else frames.failed(number, 0, "no")
            )
        elif what == "lost":
            self.follow(frames.lost(one % (DEVICES + 1), "killed"))
        elif what == "link" and one % (DEVICES + 1) != other % (DEVICES + 1):
            self.follow(frames.link(one % (DEVICES + 1), other % (DEVICES + 1)))
        elif what == "leave out":
            self.follow(frames.leave_out(one % (DEVICES + 1)))
        elif what == "take back":
            self.follow(frames.take_back(one % (DEVICES + 1)))
        elif what in ("answer", "refuse") and self.jobs:
            self.answer(what == "answer")
        elif what in ("expire", "cancel") and self.open:
            frame = self.open[one % len(self.open)]
            if what == "cancel":
                self.open.remove(frame)
            self.follow(frames.expire(frame) if what == "expire" else frames.cancel(frame))

    def answer(self, well: bool) -> None:
        job = self.jobs.popleft()
        if isinstance(job, Announce):
            self.known.add(job.route.id)
            self.follow(self.frames.announced([job.route]))
        elif well:
            self.follow(self.frames.restored(job.node))
        else:
            self.follow(self.frames.given_up(job.node, "gone"))

    def finish(self) -> None:
        """Let all that was ordered be done."""
        while self.jobs or self.running:
            if self.jobs:
                self.answer(well=True)
            else:
                self.follow(self.frames.done(next(iter(self.running)), ()))


def nodes_of(route: Route) -> frozenset[int]:
    """The nodes that a frame cannot be computed without."""
    bound = {node for node in route.places if node >= 0} | {route.source}
    return frozenset(bound | (set(route.devices) if -1 in route.places else set()))


plans = st.sampled_from([tiles(2, 2), branches(2), branches(3), chain(1), chain(2)])
policies = st.sampled_from(["static", "sharing", "stealing"])
numbers = st.integers(0, 11)


@settings(max_examples=500)
@given(plans, policies, st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), max_size=40))
def test_every_frame_ends_once(plan: Plan, policy: Policy, steps: list[Step]) -> None:
    story = Story(plan, policy)
    for what, one, other in steps:
        story.happen(what, one, other)
    story.finish()
    assert story.open == []

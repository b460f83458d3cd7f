"""A node against peers that break the rules of docs/runtime.md after they were let in.

The client and a second device are sockets of this test; the node is a worker's process, which must
go on to compute right frames whatever the second device says.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lcp_tvm.plan.box import Box, box_shape, full_box
from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.control import FarNode
from lcp_tvm.rpc.program import Pace, make_program
from lcp_tvm.rpc.routes import Route
from lcp_tvm.rpc.session import WorkerSession
from tests.rpc.processes import WorkerProcess, worker_processes
from tests.rpc.raw_peer import FRAME_TASK, POOL, SETTLED, Kind, RawPeer, elements, message
from tests.rpc.split_packages import Answers, compute_answers, split_package

RUN = 0x1234_5678_9ABC_DEF0
NODE, HOSTILE, CLIENT = 0, 1, 2
STATIC, STEALING, FED = 0, 1, 2
"""Routes: from the node to itself; by stealing, and in places, from the hostile peer."""

FRAMES = 4


@dataclass(slots=True)
class Bench:
    """A node that computes all tasks of a plan, and what its peers need to know of it."""

    worker: WorkerProcess
    plan: Plan
    answers: Answers
    port: int
    version: str
    client: RawPeer
    pieces: tuple[Box, ...]
    frames: int = 0

    def hostile(self) -> RawPeer:
        return RawPeer(self.port, run=RUN, node=HOSTILE, to=NODE, version=self.version)

    def is_right(self) -> bool:
        """Whether the node computes the next frame as it should."""
        number = self.fresh()
        which = number % FRAMES
        x = self.answers.pictures[which]
        self.client.say(
            Kind.INPUT,
            frame=number,
            task=FRAME_TASK,
            tensor=self.input,
            box=full_box(x.shape),
            payload=x.tobytes(),
        )
        return self.is_answer(number, which)

    @property
    def input(self) -> int:
        """The number of the plan's input among its tensors."""
        (name,) = self.plan.inputs
        return list(self.plan.tensors).index(name)

    def is_answer(self, number: int, which: int) -> bool:
        """Whether the client gets a frame's output, which is that of a picture."""
        heard = self.client.hear_of((Kind.REGION, Kind.FAILED), number)
        assert heard.kind == Kind.REGION, heard.payload
        (expected,) = self.answers.outputs[which]
        self.client.say(Kind.END, frame=number)
        return np.array_equal(elements(heard, str(expected.dtype)), expected)

    def fresh(self, count: int = 1) -> int:
        """Return the first of some frames' numbers that have not been used."""
        self.frames += count
        return self.frames - count

    def fed(self, frame: int, piece: int, **changes: Any) -> bytes:
        """Return a message that the hostile peer may send: a piece of the first picture."""
        box = self.pieces[piece]
        x = self.answers.pictures[0][tuple(slice(*side) for side in box)]
        fields = {
            "kind": Kind.REGION, "frame": frame, "route": FED, "task": FRAME_TASK,
            "tensor": self.input, "word": SETTLED, "box": box, "payload": x.tobytes(),
        }  # fmt: skip
        return message(**{"run": RUN, **fields, **changes})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    package = split_package("ftp:2x2@3", tmp_path_factory.mktemp("net"))
    plan = package.plan()
    nodes = ("edge-0", "edge-1", "client")
    reads = find_reads(plan)
    program = make_program(plan, reads, run=RUN, nodes=nodes, gateway=NODE, pace=Pace())
    places = tuple(NODE for _ in plan.tasks)
    with worker_processes(1) as (worker,), WorkerSession.connect(*worker.address) as session:
        node = FarNode(session)
        modules = package.manifest.modules
        for code in package.code():
            sha256 = modules[code.name].so.sha256
            node.upload({sha256: code.so})
            node.load(code.name, code.functions, sha256, None)
        port = node.prepare(program.for_node(NODE))
        node.route(Route(STATIC, NODE, places, (NODE,), "static").json())
        anywhere = tuple(-1 for _ in plan.tasks)
        node.route(Route(STEALING, HOSTILE, anywhere, (NODE, HOSTILE), "stealing").json())
        node.route(Route(FED, HOSTILE, places, (NODE,), "static").json())
        boxes = (
            region.box for task in reads.tasks for read in task for at, region in read if at < 0
        )
        version = node.hello().version
        with RawPeer(port, run=RUN, node=CLIENT, to=NODE, version=version) as client:
            answers = compute_answers(package, FRAMES)
            yield Bench(worker, plan, answers, port, version, client, tuple(dict.fromkeys(boxes)))


def test_a_peer_that_follows_the_rules_gets_right_frames(bench: Bench) -> None:
    assert bench.client.greeting.kind == Kind.WELCOME
    for _ in range(2 * FRAMES):
        assert bench.is_right()


@pytest.mark.parametrize(
    ("run", "node", "version"),
    [(RUN + 1, HOSTILE, None), (RUN, NODE, None), (RUN, 77, None), (RUN, HOSTILE, "0.0.1")],
    ids=["another run", "the node itself", "no such node", "another version"],
)
def test_who_is_not_expected_is_refused_with_a_reason(
    bench: Bench, run: int, node: int, version: str | None
) -> None:
    version = bench.version if version is None else version
    with RawPeer(bench.port, run=run, node=node, to=NODE, version=version) as peer:
        assert peer.greeting.kind == Kind.REFUSED
        assert peer.greeting.payload.decode()
        assert peer.is_closed()
    assert bench.is_right()


COMING = 1 << 40
"""A frame that the node has not heard of yet."""

REGION: dict[str, Any] = {"kind": Kind.REGION, "frame": COMING, "word": SETTLED}

BOX4 = ((0, 1), (0, 3), (0, 24), (0, 24))
HUGE = ((0, 1 << 16), (0, 1 << 16), (0, 1 << 16), (0, 1 << 16))

BROKEN: dict[str, dict[str, Any]] = {
    "another magic": {"kind": Kind.PING, "magic": 1},
    "another version": {"kind": Kind.PING, "version": 9},
    "an unknown kind": {"kind": 0},
    "a kind beyond": {"kind": 99},
    "many dimensions": {"kind": Kind.REGION, "ndim": 9},
    "a PING with a payload": {"kind": Kind.PING, "payload": b"x"},
    "a long text": {"kind": Kind.FAILED, "payload": bytes(100_000)},
    "a payload of 16 EiB": {"kind": Kind.REGION, "box": BOX4, "size": (1 << 64) - 1},
    "a huge region": {"kind": Kind.REGION, "box": HUGE, "size": 1 << 40},
    "a region backwards": {"kind": Kind.REGION, "box": ((2, 1),), "payload": bytes(4)},
    "an unknown tensor": {
        **REGION, "box": BOX4, "tensor": 9999,
        "payload": bytes(4 * 1728),
    },
    "another size": {**REGION, "box": BOX4, "payload": bytes(7)},
    "a region of nobody's": {
        **REGION, "box": ((0, 1), (0, 1), (0, 1), (0, 1)),
        "payload": bytes(4),
    },
    "another rank": {
        **REGION, "box": ((0, 3),), "payload": bytes(12)
    },
    "an unknown tensor of a task": {
        **REGION, "word": 0, "box": BOX4, "tensor": 9999,
        "payload": bytes(4 * 1728),
    },
    "a box beyond its tensor": {
        **REGION, "box": ((0, 1), (0, 3), (0, 99), (0, 1)),
        "payload": bytes(4 * 297),
    },
    "a second greeting": {"kind": Kind.HELLO},
    "a welcome": {"kind": Kind.WELCOME},
}  # fmt: skip
"""Messages that no node may send at all."""

STRANGE: dict[str, dict[str, Any]] = {
    "a frame from a device": {
        "kind": Kind.INPUT, "box": BOX4, "task": FRAME_TASK, "payload": bytes(4 * 1728)
    },
    "an end from a device": {"kind": Kind.END, "frame": 0},
    "a begin from a device": {"kind": Kind.BEGIN, "payload": b"camera"},
    "an unknown route": {
        "kind": Kind.REGION, "box": BOX4, "route": 4321, "task": FRAME_TASK,
        "payload": bytes(4 * 1728),
    },
    "an unknown task": {"kind": Kind.TASK, "task": 12345, "route": STEALING},
    "a task nobody asked for": {"kind": Kind.TASK, "task": 0, "route": STEALING},
    "another way": {"kind": Kind.TASK, "task": 0, "word": 7, "route": STEALING},
    "fetching an unknown task": {"kind": Kind.FETCH, "task": 12345, "route": STEALING},
    "stealing where nothing is": {"kind": Kind.STEAL, "route": STEALING},
    "a hint nobody asked for": {"kind": Kind.HINT, "word": 0xFFFFFFFF},
    "a hint to nowhere": {"kind": Kind.HINT, "word": 77},
    "pooled before it began": {"kind": Kind.POOLED, "task": 3, "frame": 1 << 40},
    "pooled of no task": {"kind": Kind.POOLED, "task": 4567},
    "a failure of a node": {"kind": Kind.FAILED, "word": 99, "payload": b"no"},
    "a link of nobody": {"kind": Kind.LINK, "word": 99},
    "a PONG nobody asked for": {"kind": Kind.PONG, "payload": bytes(8)},
    "work of an unknown frame": {"kind": Kind.WORK, "frame": (1 << 64) - 1},
    "no work": {"kind": Kind.NO_WORK, "frame": 5},
}  # fmt: skip
"""Messages of the right form at the wrong time, or about what is not there."""


def hostile_bytes(fields: dict[str, Any]) -> bytes:
    return message(**{"run": RUN, **fields})


@pytest.mark.parametrize("what", BROKEN)
def test_a_peer_that_breaks_a_rule_loses_its_connection(bench: Bench, what: str) -> None:
    pid = bench.worker.processes()[-1].pid
    with bench.hostile() as peer:
        assert peer.greeting.kind == Kind.WELCOME
        peer.send(hostile_bytes(BROKEN[what]))
        assert peer.is_closed()
    assert bench.is_right()
    assert bench.worker.processes()[-1].pid == pid


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_strange_does_no_harm(bench: Bench, what: str) -> None:
    with bench.hostile() as peer:
        assert peer.greeting.kind == Kind.WELCOME
        peer.send(hostile_bytes(STRANGE[what]))
        assert bench.is_right()
    assert bench.is_right()


LIES: dict[str, dict[str, Any]] = {
    "an unknown tensor": {"tensor": 9999},
    "the largest tensor": {"tensor": 0xFFFFFFFF},
    "a tensor that a task writes": {"tensor": 1},
    "a box beyond its tensor": {"box": ((0, 1), (0, 3), (12, 36), (0, 13))},
    "a box of another place": {"box": ((0, 1), (0, 3), (0, 5), (0, 5)), "payload": bytes(300)},
    "no box": {"box": (), "payload": bytes(4)},
    "a box of fewer dimensions": {"box": ((0, 1), (0, 3)), "payload": bytes(12)},
    "a box of more dimensions": {"box": (*((0, 1),) * 4, (0, 0)), "payload": b""},
    "an empty box": {"box": ((0, 1), (0, 3), (0, 0), (0, 13)), "payload": b""},
    "elements of one byte": {"item_bytes": 1},
    "elements of eight bytes": {"item_bytes": 8},
    "no elements": {"payload": b""},
    "a task that does not exist": {"task": 1 << 20},
    "a task that has no such result": {"task": 0},
    "a reader that does not exist": {"word": 1 << 20},
    "the pool of a frame's piece": {"word": POOL},
    "the whole frame": {"kind": Kind.INPUT},
    "a result of the node's own": {"task": 0, "tensor": 1, "box": ((0, 1),), "payload": b"x"},
}  # fmt: skip
"""What may be wrong with a region."""

MAX_FRAMES = 4096
"""So many frames a node knows at a time."""

FAR = (1 << 63) - 1
"""The largest number that a frame may have."""


def told(bench: Bench, frame: int, lie: dict[str, Any]) -> bytes:
    """Return a message that is right but for a lie."""
    fields = {"item_bytes": 4, "box": bench.pieces[0], **lie}
    size = math.prod(box_shape(fields["box"])) * fields.pop("item_bytes")
    return bench.fed(frame, 0, **{"payload": bytes(size), **fields})


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("what", LIES)
def test_a_region_that_is_not_due_costs_its_sender_the_connection(
    bench: Bench, what: str, is_known: bool
) -> None:
    frame = bench.fresh()
    with bench.hostile() as peer:
        if is_known:
            peer.send(bench.fed(frame, 1))
        peer.send(told(bench, frame, LIES[what]))
        assert peer.is_closed()
    assert bench.is_right()
    with bench.hostile() as peer:
        for piece in range(len(bench.pieces)):
            peer.send(bench.fed(frame, piece))
        assert bench.is_answer(frame, 0)  # the lie has left nothing behind


def test_the_same_region_twice_changes_nothing(bench: Bench) -> None:
    frame = bench.fresh()
    with bench.hostile() as peer:
        peer.send(bench.fed(frame, 0))
        peer.send(told(bench, frame, {}))
        for piece in range(1, len(bench.pieces)):
            peer.send(bench.fed(frame, piece))
        assert bench.is_answer(frame, 0)


def test_regions_of_a_frame_that_has_ended_are_dropped(bench: Bench) -> None:
    frame = bench.fresh()
    bench.client.say(Kind.END, frame=frame)
    assert bench.is_right()  # what the client has said has come
    with bench.hostile() as peer:
        for piece in range(len(bench.pieces)):
            peer.send(bench.fed(frame, piece))
        assert bench.is_right()
        peer.say(Kind.PING, frame=1)
        assert peer.hear_of((Kind.PONG,), 1)


@pytest.mark.parametrize("frame", [FAR, 1 << 62, 1 << 32], ids=hex)
def test_frames_of_a_far_future_do_not_end_those_of_today(bench: Bench, frame: int) -> None:
    with bench.hostile() as peer:
        for piece in range(len(bench.pieces)):
            peer.send(bench.fed(frame, piece))
        assert bench.is_answer(frame, 0)
    assert bench.is_right()


@pytest.mark.parametrize("frame", [FAR + 1, (1 << 64) - 1], ids=["negative", "minus one"])
@pytest.mark.parametrize("kind", [Kind.REGION, Kind.TASK, Kind.POOLED, Kind.BEGIN])
def test_no_frame_has_a_negative_number(bench: Bench, kind: Kind, frame: int) -> None:
    is_region = kind == Kind.REGION
    with bench.hostile() as peer:
        fields = {} if is_region else {"task": 0, "word": 0, "box": (), "payload": b""}
        peer.send(bench.fed(frame, 0, kind=kind, **fields))
        assert peer.is_closed()
    assert bench.is_right()


def test_a_frame_too_many_costs_its_sender_the_connection(bench: Bench) -> None:
    first = bench.fresh(MAX_FRAMES + 1)
    with bench.hostile() as peer:
        for frame in range(first, first + MAX_FRAMES + 1):
            _send_what_goes(peer, bench.fed(frame, 0))
        assert peer.is_closed()
    for frame in range(first, first + MAX_FRAMES + 1):
        bench.client.say(Kind.END, frame=frame)
    assert bench.is_right()


def test_messages_cut_anywhere_do_no_harm(bench: Bench) -> None:
    whole = hostile_bytes({"kind": Kind.REGION, "box": BOX4, "payload": bytes(4 * 1728)})
    for size in (1, 47, 48, 49, 79, 80, 81, 1000, len(whole) - 1):
        with bench.hostile() as peer:
            peer.send(whole[:size])
    assert bench.is_right()


def test_random_changes_of_messages_do_no_harm(bench: Bench) -> None:
    rng = random.Random(0)
    known = [hostile_bytes(fields) for fields in (*BROKEN.values(), *STRANGE.values())]
    for _ in range(300):
        data = bytearray(b"".join(rng.sample(known, 3)))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
        with bench.hostile() as peer:
            assert peer.greeting.kind == Kind.WELCOME
            _send_what_goes(peer, bytes(data))
    assert bench.is_right()


def _send_what_goes(peer: RawPeer, data: bytes) -> None:
    try:
        peer.send(data)
    except ConnectionError:
        return

"""What becomes of frames: the exact orders after each event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.frames import (
    MAX_ATTEMPTS,
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
from lcp_tvm.rpc.routes import Router
from tests.plan.plans import branches, chain, tiles


def frames_of(plan: Plan, policy: Policy = "static", devices: int = 2, limit: int = 8) -> Frames:
    """Return the frames of a plan on some devices and a gateway, its first routes announced."""
    names = (*(f"edge-{number}" for number in range(devices)), "gateway", "client")
    router = Router(plan, find_reads(plan), names, Machines(devices, devices), policy)
    frames = Frames(router, names, devices, limit)
    assert frames.announced(router.routes(())) == []
    return frames


def a_frame(source: int | None = None, *, kept: str = "") -> Frame:
    return Frame(Inputs(kept=kept), source, timeout_s=5.0)


def begun(order: Order) -> tuple[Frame, int]:
    assert isinstance(order, Begin)
    return order.frame, order.number


def error_of(order: Order) -> str:
    assert isinstance(order, Fail)
    return str(order.error)


def announced(frames: Frames, order: Order) -> list[Order]:
    assert isinstance(order, Announce)
    return frames.announced([order.route])


def test_a_frame_that_nothing_happens_to() -> None:
    """submit -> Begin -> done -> Done."""
    frames, frame = frames_of(branches(2)), a_frame()
    (order,) = frames.submit(frame)
    assert begun(order) == (frame, 0)
    assert frames.done(0, ("scores",)) == [Done(frame, ("scores",))]
    assert frames.done(0, ("scores",)) == []


def test_frames_in_flight_are_limited() -> None:
    """submit x 3 -> Begin, Begin; done -> Done, Begin."""
    frames = frames_of(branches(2), limit=2)
    one, two, three = a_frame(), a_frame(), a_frame()
    assert [len(frames.submit(frame)) for frame in (one, two, three)] == [1, 1, 0]
    done, order = frames.done(0, ())
    assert done == Done(one, ())
    assert begun(order) == (three, 2)


def test_a_route_that_nodes_do_not_know_is_announced_once() -> None:
    """submit x 2 -> Announce; announced -> Begin, Begin."""
    frames = frames_of(tiles(2, 2), "stealing")
    one, two = a_frame(source=1), a_frame(source=1)
    (order,) = frames.submit(one)
    assert frames.submit(two) == []
    assert [begun(begin)[0] for begin in announced(frames, order)] == [one, two]


def test_a_function_that_fails_ends_the_frame() -> None:
    frames, frame = frames_of(branches(2)), a_frame()
    frames.submit(frame)
    end, fail = frames.failed(0, 1, "branch1 needs 9 MB, free are 3 MB")
    assert end == End(0)
    assert error_of(fail) == "edge-1: branch1 needs 9 MB, free are 3 MB"
    assert frames.failed(0, 1, "again") == []


def test_a_frame_is_redone_on_the_other_nodes() -> None:
    """lost -> End, Restore, Announce; announced -> Begin under a new number."""
    frames, frame = frames_of(tiles(2, 2)), a_frame()
    frames.submit(frame)
    end, restore, announce = frames.lost(1, "silent for 3 s")
    assert (end, restore) == (End(0), Restore(1))
    (order,) = announced(frames, announce)
    assert begun(order) == (frame, 1)
    assert frame.route is not None
    assert frame.route.devices == (0,)
    assert frames.done(0, ("late",)) == []
    assert frames.done(1, ("right",)) == [Done(frame, ("right",))]


def test_frames_that_do_not_need_a_lost_node_go_on() -> None:
    """Of two replicas one is lost: its frame alone begins again, in the other."""
    frames = frames_of(replace(chain(1), replicas=2))
    one, two = a_frame(), a_frame()
    frames.submit(one)
    frames.submit(two)
    end, restore, order = frames.lost(1, "killed")
    assert (end, restore) == (End(1), Restore(1))
    assert begun(order) == (two, 2)
    assert frames.done(0, ()) == [Done(one, ())]


def test_frames_wait_for_a_node_that_the_plan_needs() -> None:
    """lost -> End, Restore; restored -> Begin x 2, in order, on the route there was."""
    frames, one, two = frames_of(branches(2)), a_frame(), a_frame()
    frames.submit(one)
    assert frames.lost(1, "killed") == [End(0), Restore(1)]
    assert frames.submit(two) == []
    assert [begun(order) for order in frames.restored(1)] == [(one, 1), (two, 2)]


def test_a_node_that_comes_back_must_know_the_routes_that_it_has_part_in() -> None:
    frames = frames_of(tiles(2, 2), devices=3)
    both = frames.router.route(0, 0)
    frames.lost(1, "killed")
    (announce,) = frames.submit(a_frame())
    announced(frames, announce)
    assert frames.routes_of(0) == [*frames.routes_of(1), frames.router.route(0)]
    assert both in frames.routes_of(1)


def test_a_route_that_a_node_may_not_have_been_told_is_not_taken_again() -> None:
    """Lost while all are told: whoever takes its place would not know."""
    frames = frames_of(tiles(2, 2), devices=3)
    frames.lost(1, "killed")
    (announce,) = frames.submit(a_frame())
    assert isinstance(announce, Announce)
    frames.lost(2, "killed")
    announced(frames, announce)
    frames.restored(1)
    frames.restored(2)
    frames.lost(1, "killed")
    again = frames.router.route(0)
    assert again.places == announce.route.places
    assert again.id != announce.route.id


def test_frames_fail_when_a_node_does_not_come_back() -> None:
    frames, one, two = frames_of(branches(2)), a_frame(), a_frame()
    frames.submit(one)
    frames.lost(1, "killed")
    (fail,) = frames.given_up(1, "nobody listens")
    expected = "edge-1: it is lost, and the plan cannot do without it (killed; nobody listens)"
    assert error_of(fail) == expected
    (fail,) = frames.submit(two)
    assert error_of(fail) == expected


def test_nodes_are_restored_one_after_the_other() -> None:
    frames = frames_of(tiles(2, 2), devices=3)
    assert frames.lost(0, "killed") == [Restore(0)]
    assert frames.lost(2, "killed") == []
    assert frames.restored(0) == [Restore(2)]
    assert frames.given_up(2, "gone") == []


def test_a_node_is_lost_once() -> None:
    frames = frames_of(tiles(2, 2))
    assert frames.lost(1, "killed") == [Restore(1)]
    assert frames.lost(1, "silent") == []
    assert frames.link(0, 1) == []


@pytest.mark.parametrize(("node", "peer", "gone"), [(0, 1, 1), (0, 2, 0), (2, 1, 1)])
def test_of_a_broken_connection_one_end_is_set_up_again(node: int, peer: int, gone: int) -> None:
    """Never the gateway, which every frame needs."""
    frames = frames_of(tiles(2, 2))
    assert frames.link(node, peer) == [Restore(gone)]


def test_a_frame_that_ends_nodes_is_given_up() -> None:
    frames, frame = frames_of(branches(2)), a_frame()
    frames.submit(frame)
    for _ in range(MAX_ATTEMPTS - 1):
        assert len(frames.lost(1, "killed")) == 2
        assert len(frames.restored(1)) == 1
    end, fail, restore = frames.lost(1, "killed")
    assert (end, restore) == (End(MAX_ATTEMPTS - 1), Restore(1))
    assert error_of(fail).startswith("edge-1: it is lost (killed), as others were before")


def test_a_frame_that_takes_too_long() -> None:
    """expire -> Fail, End."""
    frames, frame = frames_of(branches(2)), a_frame()
    frames.submit(frame)
    fail, end = frames.expire(frame)
    assert error_of(fail).startswith(
        "no result of frame 0 within 5 s from edge-0, edge-1, gateway;"
    )
    assert end == End(0)
    assert frames.done(0, ()) == []


def test_a_frame_that_takes_too_long_names_those_that_are_silent() -> None:
    """But no others than it needs; a frame that has not begun needs all."""
    plan = replace(branches(2), replicas=2)
    frames, frame = frames_of(plan, devices=4), a_frame()
    frames.submit(frame)
    fail, _ = frames.expire(frame, silent=[1, 2])
    assert error_of(fail).startswith("edge-1: no result of frame 0 within 5 s;")


def test_a_frame_that_waits_too_long_names_what_it_waits_for() -> None:
    frames, frame = frames_of(branches(2)), a_frame()
    frames.lost(1, "killed")
    frames.submit(frame)
    (fail,) = frames.expire(frame)
    assert error_of(fail).startswith("edge-1: no result of frame 0")
    assert len(frames.restored(1)) == 0


def test_a_cancelled_frame_makes_room() -> None:
    frames = frames_of(branches(2), limit=1)
    one, two, three = a_frame(), a_frame(), a_frame()
    for frame in (one, two, three):
        frames.submit(frame)
    assert frames.cancel(two) == []
    end, order = frames.cancel(one)
    assert end == End(0)
    assert begun(order) == (three, 1)
    assert frames.done(0, ()) == []


def test_inputs_that_a_lost_node_kept_are_lost_with_it() -> None:
    frames = frames_of(tiles(2, 2), "stealing")
    frames.announced([frames.router.route(0, 1)])
    frame = a_frame(1, kept="camera")
    frames.submit(frame)
    assert frames.lost(1, "killed") == [End(0), Restore(1)]
    (fail,) = frames.given_up(1, "gone")
    assert error_of(fail) == "edge-1: it is lost, and with it its inputs"


def states(frames: Frames) -> list[str]:
    return [frames.standing(node).state for node in range(len(frames.names) - 1)]


def test_a_node_is_left_out_and_taken_back() -> None:
    """leave_out -> End, Announce: nobody restores it; take_back -> Restore; then it has tasks."""
    frames, frame = frames_of(tiles(2, 2)), a_frame()
    frames.submit(frame)
    end, announce = frames.leave_out(1)
    assert end == End(0)
    assert states(frames) == ["working", "left out", "working"]
    assert frames.standing(1).reason == "it was left out"
    (order,) = announced(frames, announce)
    assert begun(order) == (frame, 1)
    assert frames.done(1, ()) == [Done(frame, ())]
    assert frames.lost(1, "its connection is gone") == []
    assert frames.take_back(1) == [Restore(1)]
    assert states(frames) == ["working", "returning", "working"]
    assert frames.restored(1) == []
    assert states(frames) == ["working"] * 3
    assert frames.standing(1).reason == ""
    frames.submit(again := a_frame())
    assert again.route is not None
    assert again.route.devices == (0, 1)


def test_a_node_that_works_is_not_taken_back() -> None:
    frames = frames_of(tiles(2, 2))
    assert frames.take_back(1) == []
    assert frames.lost(1, "killed") == [Restore(1)]
    assert frames.take_back(1) == []


def test_a_node_that_was_given_up_is_taken_back() -> None:
    """Whatever was said of it before, the first reason and the last are told."""
    frames = frames_of(tiles(2, 2))
    frames.lost(1, "killed")
    for attempt in ("nobody listens", "it is busy"):
        frames.given_up(1, attempt)
        assert frames.standing(1).state == "lost"
        assert frames.take_back(1) == [Restore(1)]
    assert frames.standing(1).reason == "killed; it is busy"


def test_a_node_that_is_left_out_while_it_is_restored() -> None:
    """lost, leave_out, restored: it stays out; the next one is restored."""
    frames = frames_of(tiles(2, 2), devices=3)
    assert frames.lost(1, "killed") == [Restore(1)]
    assert frames.lost(2, "killed") == []
    assert frames.leave_out(1) == []
    assert frames.restored(1) == [Restore(2)]
    assert states(frames) == ["working", "left out", "returning", "working"]
    assert frames.leave_out(2) == []
    assert frames.take_back(2) == []
    assert frames.restored(2) == []
    assert states(frames) == ["working", "left out", "working", "working"]


def test_a_node_that_is_left_out_before_it_is_restored() -> None:
    """It is not restored when its turn comes."""
    frames = frames_of(tiles(2, 2), devices=3)
    frames.lost(1, "killed")
    frames.lost(2, "killed")
    assert frames.leave_out(2) == []
    assert frames.restored(1) == []
    assert frames.take_back(2) == [Restore(2)]


def test_frames_fail_when_the_node_that_they_wait_for_is_left_out() -> None:
    frames, frame = frames_of(branches(2)), a_frame()
    frames.lost(0, "killed")
    frames.lost(1, "killed")
    frames.submit(frame)
    frames.leave_out(1)
    (fail,) = frames.restored(0)
    assert error_of(fail) == (
        "edge-1: it is lost, and the plan cannot do without it (killed; it was left out)"
    )


def test_what_a_plan_can_do_without() -> None:
    """Of tiles any device but not all; of bound branches none; of two replicas all of one."""
    router = frames_of(tiles(2, 2)).router
    assert [router.needs(node) for node in (0, 1, 2)] == [False, False, True]
    router.lose(1, "killed")
    assert router.needs(0)
    assert all(frames_of(branches(2)).router.needs(node) for node in (0, 1, 2))
    assert not frames_of(branches(2), devices=4).router.needs(3)

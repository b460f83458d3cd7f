"""Static assignment against timelines worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.predict.predict import predict
from tests.predict.small import cluster, log, plan, region, task

X = region("x", 0, 4)


def branches(count: int, ms: int = 10) -> Plan:
    """Branches of equal length that read all of x, and a head of 5 ms at the gateway."""
    parts = [region("m", 2 * number, 2 * number + 2) for number in range(count)]
    steps = [task(f"b{n}", ms, [X], [part], n) for n, part in enumerate(parts)]
    head = task("head", 5, [region("m", 0, 2 * count)], [region("y", 0, 1)], GATEWAY)
    return plan(*steps, head, devices=count)


def chain(*devices: int | None, ms: int = 10) -> Plan:
    """Stages that pass 4 bytes on."""
    names = ["x", *(f"t{number}" for number in range(1, len(devices))), "y"]
    steps = [
        task(f"s{n}", ms, [region(names[n], 0, 4)], [region(names[n + 1], 0, 4)], device)
        for n, device in enumerate(devices)
    ]
    return plan(*steps, devices=2)


def test_one_device_takes_the_sum_of_its_tasks() -> None:
    found = predict(branches(3), cluster(1), trace=True)
    assert log(found) == [
        ("d0: b0", 0, 10),
        ("d0: b1", 10, 20),
        ("d0: b2", 20, 30),
        ("d0: head", 30, 35),
    ]
    assert (found.makespan_ms, found.bytes_total, found.messages) == (35, 0, 0)


def test_two_devices_and_a_gateway_on_a_switch() -> None:
    """A latency of 1 ms follows every transmission."""
    found = predict(branches(2), cluster(2, latency_ms=1, gateway=True), trace=True)
    assert log(found, "compute", "send", "receive") == [
        ("d0: frame to b1", 0, 4),
        ("d0: b0", 0, 10),
        ("d1: frame to b1", 1, 5),
        ("d1: b1", 5, 15),
        ("d0: b0 to head", 10, 12),
        ("gateway: b0 to head", 11, 13),
        ("d1: b1 to head", 15, 17),
        ("gateway: b1 to head", 16, 18),
        ("gateway: head", 18, 23),
    ]
    assert found.latencies_ms == (23,)
    assert found.links == {("d0", "d1"): 4, ("d0", "gateway"): 2, ("d1", "gateway"): 2}


def test_equal_tasks_on_as_many_devices_take_as_long_as_one() -> None:
    """When links cost next to nothing; the head comes on top."""
    fast = cluster(8, bytes_per_ms=1e9)
    assert predict(branches(8), fast).makespan_ms == pytest.approx(10 + 5)


def test_a_shared_medium_serialises_what_a_switch_does_at_once() -> None:
    """Of 4 branches, d0's is there; 3 inputs of 4 ms and 3 results of 2 ms share the air."""
    shared = predict(branches(4), cluster(4, medium="shared"), trace=True)
    assert log(shared, "compute", "send") == [
        ("d0: frame to b1", 0, 4),
        ("d0: b0", 0, 10),
        ("d0: frame to b2", 4, 8),
        ("d1: b1", 4, 14),
        ("d0: frame to b3", 8, 12),
        ("d2: b2", 8, 18),
        ("d3: b3", 12, 22),
        ("d1: b1 to head", 14, 16),
        ("d2: b2 to head", 18, 20),
        ("d3: b3 to head", 22, 24),
        ("d0: head", 24, 29),
    ]
    twice = predict(branches(4), cluster(4, medium="shared", hops=2))
    assert twice.makespan_ms == 3 * 8 + 10 + 4 + 5


def test_what_two_tasks_of_a_device_read_is_sent_once() -> None:
    """The second reads a part of what the first does; it waits for the same message."""
    two = plan(
        task("a", 1, [region("x", 0, 4)], [region("y", 0, 1)], 1),
        task("b", 1, [region("x", 1, 3)], [region("y", 1, 2)], 1),
        devices=2,
    )
    found = predict(two, cluster(2), trace=True)
    assert log(found) == [("d1: a", 4, 5), ("d1: b", 5, 6)]
    assert found.links == {("d0", "d1"): 4, ("d1", "d0"): 2}


def test_a_consumer_gets_one_message_from_each_producer() -> None:
    """Two regions of x, that are not next to each other, travel together."""
    one = plan(
        task("a", 1, [region("x", 0, 2), region("x", 5, 8)], [region("y", 0, 1)], 1), devices=2
    )
    found = predict(one, cluster(2), trace=True)
    assert log(found, "send") == [("d0: frame to a", 0, 5), ("d1: a to outputs", 6, 7)]


def test_stages_work_on_different_frames() -> None:
    found = predict(chain(0, 1), cluster(2), frames=3, in_flight=2, trace=True)
    assert log(found) == [
        ("d0: s0", 0, 10),
        ("d0: s0", 10, 20),
        ("d1: s1", 14, 24),
        ("d1: s1", 24, 34),
        ("d0: s0", 28, 38),
        ("d1: s1", 42, 52),
    ]
    # The results take 4 ms back to device 0, which is the gateway too.
    assert found.latencies_ms == (28, 38, 56 - 28)
    assert found.frames_per_second == pytest.approx(3e3 / 56)


def test_older_frames_come_first() -> None:
    """The second stage of frame 0 runs before the first one of frame 2, which came earlier."""
    found = predict(chain(0, 0), cluster(1), frames=3, in_flight=3, trace=True)
    frames = [span.args["frame"] for span in found.spans if span.lane == "compute"]
    assert frames == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("period", "latencies"), [(10, (10, 10, 10)), (4, (10, 16, 22))])
def test_frames_that_come_too_fast_queue_up(period: float, latencies: tuple[float, ...]) -> None:
    """Service takes 10 ms: frame k waits for k times what is missing."""
    found = predict(chain(0), cluster(1), frames=3, period_ms=period)
    assert found.latencies_ms == latencies


def test_replicas_take_turns() -> None:
    whole = replace(chain(0), devices=1, replicas=2)
    found = predict(whole, cluster(2), frames=4, in_flight=2, trace=True)
    assert log(found) == [
        ("d0: s0", 0, 10),
        ("d1: s0", 4, 14),
        ("d0: s0", 10, 20),
        ("d1: s0", 22, 32),
    ]


def test_a_head_that_needs_two_of_three_leaves_the_slowest_behind() -> None:
    """The late branch still computes and sends, which a second frame has to put up with."""
    steps = [
        task(f"b{n}", ms, [X], [region("m", n, n + 1)], n) for n, ms in enumerate((10, 20, 90))
    ]
    reads = [region("m", n, n + 1) for n in range(3)]
    head = task("head", 5, reads, [region("y", 0, 1)], GATEWAY, needs=2)
    found = predict(plan(*steps, head, devices=3), cluster(3), frames=2, trace=True)
    assert log(found) == [
        ("d0: b0", 0, 10),
        ("d1: b1", 4, 24),
        ("d2: b2", 8, 98),
        ("d0: head", 25, 30),
        ("d0: b0", 30, 40),
        ("d1: b1", 34, 54),
        ("d0: head", 55, 60),
    ]
    assert found.latencies_ms == (30, 30)


def test_a_plan_for_more_devices_than_there_are_shares_them() -> None:
    found = predict(branches(4), cluster(2))
    assert found.notes == (
        "the plan is for 4 devices and the cluster has 2: some take several parts",
    )
    assert [device.busy_ms for device in found.devices] == [25, 20]
    assert predict(branches(2), cluster(2)).notes == ()


def test_tasks_without_a_device_go_where_they_end_first() -> None:
    """x takes 4 ms to d1: the third of 3 tasks of 10 ms is done sooner there than on d0."""
    free = plan(*(task(f"t{n}", 10, [X], [region("y", n, n + 1)]) for n in range(3)))
    found = predict(free, cluster(2), trace=True)
    assert log(found) == [("d0: t0", 0, 10), ("d1: t1", 4, 14), ("d0: t2", 10, 20)]


def test_small_tasks_stay_where_their_data_is() -> None:
    free = plan(*(task(f"t{n}", 1, [X], [region("y", n, n + 1)]) for n in range(3)))
    found = predict(free, cluster(2))
    assert (found.makespan_ms, found.bytes_total) == (3, 0)


def test_memory_is_weights_what_waits_and_the_call_that_runs() -> None:
    """d1 holds 100 + 10 of weights; b's input of 4 waits while a runs, which takes 50."""
    two = plan(
        task("a", 9, [region("x", 0, 4)], [region("y", 0, 1)], 1, weight_bytes=100, peak_bytes=50),
        task("b", 9, [region("x", 4, 8)], [region("y", 1, 2)], 1, weight_bytes=10, peak_bytes=20),
        devices=2,
    )
    source, worker = predict(two, cluster(2)).devices
    assert worker.memory_bytes == 110 + 50 + 4
    assert source.memory_bytes == 8 + 2  # the frame, until the outputs are there
    assert worker.fits
    assert not replace(worker, memory_limit_bytes=163).fits


def test_functions_called_twice_are_held_once() -> None:
    one = plan(task("a", 1, [X], [region("y", 0, 1)], 0, weight_bytes=100))
    assert predict(one, cluster(1), frames=5).devices[0].memory_bytes == 100 + 4 + 1


def test_executed_macs_count_every_frame() -> None:
    assert predict(branches(3), cluster(3), frames=4).macs == 4 * (3 * 10 + 5)


def test_reading_what_a_later_task_writes_is_refused() -> None:
    wrong = plan(
        task("a", 1, [region("m", 0, 1)], [region("y", 0, 1)]),
        task("b", 1, [X], [region("m", 0, 1)]),
    )
    with pytest.raises(PlanError, match="task a reads what itself or a later task writes"):
        predict(wrong, cluster(1))


def test_frames_from_several_sources_come_in_turn() -> None:
    found = predict(chain(0), cluster(2, sources=(0, 1)), frames=2, trace=True)
    assert log(found, "send") == [("d1: frame to s0", 10, 14)]

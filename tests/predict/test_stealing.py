"""Work stealing against timelines worked out by hand: 64 bytes, a word, take 1 ms of a port."""

from __future__ import annotations

from lcp_tvm.plan.plan import GATEWAY, Plan
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.rules import DEEPTHINGS, OURS, Rules
from tests.predict.small import cluster, log, plan, region, task


def edges(devices: int, *, sources: tuple[int, ...] = (0,)) -> Cluster:
    """Devices and a gateway on a switch of 64 bytes per ms, a latency of 1 ms."""
    return cluster(devices, bytes_per_ms=64, latency_ms=1, gateway=True, sources=sources)


def tiles(*ms: int) -> Plan:
    """Tiles of 64 bytes that nobody is bound to."""
    parts = [(64 * number, 64 * number + 64) for number in range(len(ms))]
    return plan(
        *(
            task(f"t{n}", took, [region("x", *part)], [region("y", *part)])
            for n, (took, part) in enumerate(zip(ms, parts, strict=True))
        )
    )


def test_one_device_computes_its_own_queue() -> None:
    found = predict(tiles(20, 10), edges(1), policy="stealing", trace=True)
    assert log(found) == [("d0: t0", 0, 20), ("d0: t1", 20, 30)]
    # Two results, and two words: that it has work, and that it has none any more.
    assert (found.messages, found.bytes_total) == (4, 4 * 64)


def test_an_idle_device_steals() -> None:
    """Every word of the conversation; d1's question waits for d0's word at the gateway's port."""
    found = predict(tiles(20, 20), edges(2), policy="stealing", trace=True)
    assert log(found, "compute", "receive")[:11] == [
        ("d0: t0", 0, 20),
        ("gateway: has work", 1, 2),
        ("gateway: who has work?", 2, 3),
        ("d1: that device", 4, 5),
        ("d0: a task, please", 6, 7),
        ("gateway: has none", 8, 9),
        ("d1: frame to t1", 9, 10),
        ("d1: t1", 10, 30),
        ("gateway: t0 to outputs", 21, 22),
        ("gateway: who has work?", 22, 23),
        ("d0: nobody", 24, 25),
    ]
    assert found.latencies_ms == (32,)


def test_who_finds_no_work_asks_again_after_a_while() -> None:
    found = predict(tiles(250), edges(2), policy="stealing", trace=True)
    questions = [begin for name, begin, _ in log(found, "send") if name == "d1: who has work?"]
    # First it is sent to d0, whose only task is gone; then it hears at once that nobody has any.
    assert questions == [0, 9 + OURS.poll_ms, 9 + OURS.poll_ms + 4 + OURS.poll_ms]


def test_a_wait_of_years_takes_few_questions() -> None:
    year = 365 * 24 * 3600 * 1000
    found = predict(tiles(5 * year), edges(2), policy="stealing")
    assert found.latency_ms.mean > 5 * year
    assert found.messages < 100_000


def test_stealing_balances_what_a_fixed_deal_cannot() -> None:
    uneven = tiles(90, 10, 10, 10, 10, 10)
    found = predict(uneven, edges(2), policy="stealing", trace=True)
    assert [name for name, _, _ in log(found)] == ["d0: t0", *(f"d1: t{n}" for n in range(1, 6))]


def test_victims_take_turns() -> None:
    """Two sources with queues: the idle device takes a task of the one, then of the other."""
    found = predict(
        tiles(50, 50, 50, 50, 50, 50), edges(3, sources=(0, 1)), frames=2, in_flight=2,
        policy="stealing", trace=True,
    )  # fmt: skip
    stolen = [span for span in found.spans if span.lane == "compute" and span.device == "d2"]
    assert [span.args["frame"] for span in stolen] == [0, 1, 0, 1]


def test_a_bound_task_is_taken_by_its_device_alone() -> None:
    halves = [(0, 64), (64, 128)]
    bound = plan(
        *(
            task(f"t{n}", 5, [region("x", *half)], [region("y", *half)], 1)
            for n, half in enumerate(halves)
        ),
        devices=2,
    )
    found = predict(bound, edges(3), policy="stealing", trace=True)
    assert [name for name, _, _ in log(found)] == ["d1: t0", "d1: t1"]


def test_the_gateway_runs_its_own_tasks() -> None:
    halves = [(0, 64), (64, 128)]
    steps = [
        task(f"t{n}", 20, [region("x", *half)], [region("m", *half)])
        for n, half in enumerate(halves)
    ]
    head = task("head", 7, [region("m", 0, 128)], [region("y", 0, 1)], GATEWAY)
    found = predict(plan(*steps, head), edges(2), policy="stealing", trace=True)
    assert log(found)[-1] == ("gateway: head", 32, 39)


def reuse(*ms: int) -> Plan:
    """t0 gives a strip s to the last task, which takes 3 ms with it and 30 without."""
    *others, last = [(64 * number, 64 * number + 64) for number in range(len(ms) + 1)]
    strip = region("s", 0, 64)
    steps = []
    for number, (took, part) in enumerate(zip(ms, others, strict=True)):
        writes = [region("y", *part)] + [strip] * (number == 0)
        steps.append(task(f"t{number}", took, [region("x", *part)], writes))
    whole = region("x", 0, last[1])
    taker = task(
        "rest", 3, [region("x", *last), strip], [region("y", *last)], fallback=(30, [whole])
    )
    return plan(*steps, taker)


def test_what_the_device_has_itself_is_reused_at_no_cost() -> None:
    found = predict(reuse(20), edges(1), policy="stealing", trace=True)
    assert log(found) == [("d0: t0", 0, 20), ("d0: rest", 20, 23)]
    assert found.fallbacks == 0


def test_without_patience_who_comes_too_early_does_without() -> None:
    """d1 takes the task at 7 ms, when t0 still runs; it gets both parts of the frame."""
    found = predict(reuse(20), edges(2), policy="stealing", rules=DEEPTHINGS, trace=True)
    assert log(found) == [("d0: t0", 0, 20), ("d1: rest", 11, 41)]
    assert found.fallbacks == 1
    assert found.macs == 20 + 30


def test_a_task_waits_for_what_is_being_computed() -> None:
    """d1 asks at 7 ms in vain, and sleeps; d0 has the strip itself when t0 is done."""
    found = predict(reuse(20), edges(2), policy="stealing", trace=True)
    assert log(found) == [("d0: t0", 0, 20), ("d0: rest", 20, 23)]
    assert found.fallbacks == 0


def test_a_task_that_has_been_passed_over_for_long_does_without() -> None:
    """d1 asks d0 at 7, 20 and 33 ms, when the task has waited for 26, and gets 128 bytes."""
    rules = Rules(poll_ms=5, patience_ms=15)
    found = predict(reuse(100), edges(2), policy="stealing", rules=rules, trace=True)
    assert log(found) == [("d0: t0", 0, 100), ("d1: rest", 37, 67)]
    assert found.fallbacks == 1


def test_overlaps_come_from_the_pool() -> None:
    """d0 computes t0 and then t2, d1 steals t1 and then, the strip being pooled, the rest."""
    found = predict(reuse(12, 20, 90), edges(2), policy="stealing", trace=True)
    assert log(found) == [
        ("d0: t0", 0, 12),
        ("d1: t1", 9, 29),
        ("d0: t2", 12, 102),
        ("d1: rest", 43, 46),
    ]
    conversation = [row for row in log(found, "receive") if row[1] >= 29]
    assert conversation[:7] == [
        ("gateway: t1 to outputs", 30, 31),
        ("gateway: who has work?", 31, 32),
        ("d1: that device", 33, 34),
        ("d0: a task, please", 35, 36),
        ("gateway: has none", 37, 38),
        ("d1: frame to rest", 38, 39),
        ("gateway: overlaps, please", 40, 41),
    ]
    assert found.fallbacks == 0


def test_a_task_without_a_fallback_waits_for_what_it_reads() -> None:
    strip = region("s", 0, 64)
    steps = [
        task("t0", 20, [region("x", 0, 64)], [strip]),
        task("t1", 10, [strip], [region("y", 0, 64)]),
    ]
    found = predict(plan(*steps), edges(2), policy="stealing", trace=True)
    assert log(found) == [("d0: t0", 0, 20), ("d0: t1", 20, 30)]

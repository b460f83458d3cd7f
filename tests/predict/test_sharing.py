"""Work sharing against timelines worked out by hand: a byte takes 1 ms of the air."""

from __future__ import annotations

from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Prediction
from tests.predict.small import cluster, log, plan, region, task


def share(what: Plan) -> Prediction:
    """On two devices and a gateway; a message arrives 2 ms after it has left."""
    where = cluster(2, medium="shared", latency_ms=2, gateway=True)
    return predict(what, where, policy="sharing", trace=True)


def tiles(*ms: int) -> Plan:
    """Tiles of 4 bytes."""
    parts = [(4 * number, 4 * number + 4) for number in range(len(ms))]
    return plan(
        *(
            task(f"t{n}", took, [region("x", *part)], [region("y", *part)])
            for n, (took, part) in enumerate(zip(ms, parts, strict=True))
        )
    )


def test_the_gateway_turns_to_one_device_after_the_other() -> None:
    """The next message leaves when the last has left, not when it has arrived."""
    found = share(tiles(30, 5, 5))
    assert log(found, "send") == [
        ("d0: frame to gateway", 0, 12),
        ("gateway: frame to t0", 14, 18),
        ("gateway: frame to t1", 18, 22),
        ("gateway: frame to t2", 22, 26),
        ("d1: t1 to gateway", 29, 33),
        ("d0: t0 to gateway", 50, 54),
        ("d0: t2 to gateway", 55, 59),
    ]
    assert log(found) == [("d0: t0", 20, 50), ("d1: t1", 24, 29), ("d0: t2", 50, 55)]
    assert found.latencies_ms == (61,)


def test_results_go_between_what_is_handed_out() -> None:
    """d0 is done at 27, while the third tile leaves; the fourth comes after its result."""
    found = share(tiles(3, 30, 30, 30))
    assert log(found, "send")[1:6] == [
        ("gateway: frame to t0", 18, 22),
        ("gateway: frame to t1", 22, 26),
        ("gateway: frame to t2", 26, 30),
        ("d0: t0 to gateway", 30, 34),
        ("gateway: frame to t3", 34, 38),
    ]


def test_a_task_begins_when_all_that_it_reads_is_there() -> None:
    """b0 does not wait for a1, which it does not read."""
    found = share(
        plan(
            task("a0", 5, [region("x", 0, 4)], [region("a", 0, 4)], 0),
            task("a1", 50, [region("x", 4, 8)], [region("a", 4, 8)], 1),
            task("b0", 5, [region("a", 0, 4)], [region("y", 0, 4)], 0),
            task("b1", 5, [region("a", 2, 8)], [region("y", 4, 8)], 1),
            devices=2,
        )
    )
    assert log(found) == [
        ("d0: a0", 16, 21),
        ("d1: a1", 20, 70),
        ("d0: b0", 21, 26),
        ("d1: b1", 70, 75),
    ]

"""Work sharing: all data by way of the gateway, one transfer at a time, layers in lock-step."""

from __future__ import annotations

import pytest

from lcp_tvm.plan.pieces import find_reads
from lcp_tvm.plan.plan import Function, Plan, Region, Task, Tensor
from lcp_tvm.predict.cluster import Cluster, Device, Network
from lcp_tvm.predict.kinds import KINDS
from lcp_tvm.predict.lock_step import find_steps
from lcp_tvm.predict.predict import predict
from lcp_tvm.predict.prediction import Prediction
from lcp_tvm.predict.rules import DEEPTHINGS

ROW = Tensor((1000,), "uint8")


def task(name: str, reads: Region, writes: Region, device: int | None = None) -> Task:
    return Task(name, name, (reads,), (writes,), device)


def function(plan_task: Task, ms: float) -> Function:
    """A function whose call takes so long on every kind of device."""
    shapes = [
        Tensor((end - begin,), "uint8")
        for regions in (plan_task.reads, plan_task.writes)
        for region in regions
        for begin, end in region.box
    ]
    return Function((shapes[0],), (shapes[1],), measured_ms={"rpi3": ms})


def halves(*, halo: int = 100) -> Plan:
    """Two layers in halves: 10 ms and 5 ms; the second reads a halo of the other half."""
    tasks = {
        task("a0", part("x", 0, 500), part("a", 0, 500), 0): 10.0,
        task("a1", part("x", 500, 1000), part("a", 500, 1000), 1): 10.0,
        task("b0", part("a", 0, 500 + halo), part("b", 0, 500), 0): 5.0,
        task("b1", part("a", 500 - halo, 1000), part("b", 500, 1000), 1): 5.0,
    }
    return Plan(
        name="halves",
        split="strips:2",
        tensors={"x": ROW, "a": ROW, "b": ROW},
        inputs=("x",),
        outputs=("b",),
        functions={each.name: function(each, ms) for each, ms in tasks.items()},
        tasks=tuple(tasks),
        devices=2,
    )


def part(tensor: str, begin: int, end: int) -> Region:
    return Region(tensor, ((begin, end),))


def share(plan: Plan, frames: int = 1, speeds: tuple[float, float] = (1, 1)) -> Prediction:
    """On two devices and a gateway; a message of n bytes takes n us on the air and 2 ms more."""
    kind = KINDS["rpi3"]
    devices = [
        Device(f"d{n}", kind, 1, kind.clock_mhz, 1024, speed) for n, speed in enumerate(speeds)
    ]
    gateway = Device("gateway", kind, 1, kind.clock_mhz, 1024)
    network = Network("shared", bandwidth_mbit=8, latency_ms=2)
    cluster = Cluster("two", tuple(devices), network, gateway)
    return predict(
        plan,
        cluster,
        frames=frames,
        in_flight=frames,
        policy="sharing",
        rules=DEEPTHINGS,
        trace=True,
    )


def starts(prediction: Prediction) -> dict[str, float]:
    """Return when each call began, in milliseconds."""
    spans = [span for span in prediction.spans if span.lane == "compute"]
    return {span.name: pytest.approx(span.start_us / 1e3) for span in spans}


def test_a_layer_begins_when_all_of_the_last_is_collected_and_handed_out() -> None:
    prediction = share(halves())
    # The frame is at the gateway at 3.0, its halves at the devices at 5.5 and 8.0. The calls end
    # at 15.5 and 18.0, the halos are at the gateway at 17.6 and 20.1, and where they are read at
    # 22.2 and 24.3.
    assert starts(prediction) == {"a0": 5.5, "a1": 8.0, "b0": 24.3, "b1": 24.3}
    assert prediction.makespan_ms == pytest.approx(24.3 + 5 + 2.5 + 2.5)
    assert prediction.messages == 9
    assert prediction.bytes_total == 1000 + 1000 + 2 * 100 + 2 * 100 + 1000


def test_a_slow_device_holds_up_the_step() -> None:
    prediction = share(halves(), speeds=(1, 0.5))
    # The second call ends at 28.0 now, 10 ms later.
    assert starts(prediction) == {"a0": 5.5, "a1": 8.0, "b0": 34.3, "b1": 34.3}


def test_steps_wait_for_each_other_though_nothing_moves_between_them() -> None:
    prediction = share(halves(halo=0))
    assert starts(prediction) == {"a0": 5.5, "a1": 8.0, "b0": 18.0, "b1": 18.0}
    assert prediction.messages == 5


def test_frames_are_computed_one_after_the_other() -> None:
    one, three = share(halves()), share(halves(), frames=3)
    assert three.latency_ms.max == pytest.approx(3 * one.makespan_ms)


def test_steps_count_the_tasks_on_the_longest_way() -> None:
    assert find_steps(find_reads(halves())) == [0, 0, 1, 1]

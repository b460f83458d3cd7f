"""The memory limit: what would exceed it waits, or is refused with the sizes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import Device, Plan, Region, Tensor
from lcp_tvm.plan.run import run_plan
from lcp_tvm.rpc.control import as_tensor
from tests.native.nodes import Array, a_frame, made_up, nodes, until
from tests.plan.plans import a_plan, a_task, reuse

MIB = 1 << 20
PICTURE = Tensor((1, 4, 256, 256), "float32")  # 1 MiB
SCORES = Tensor((1, 1024), "float32")  # 4 KiB


def classify(stages: int = 1, device: Device = 0) -> Plan:
    """picture -> picture -> ... -> scores, on one device."""
    tensors = {f"t{at}": PICTURE for at in range(stages)} | {"scores": SCORES}
    names = list(tensors)
    whole = [Region(name, full_box(tensors[name].shape)) for name in names]
    tasks = [a_task(f"f{at}", [whole[at]], [whole[at + 1]], device) for at in range(stages)]
    return a_plan("none", tensors, ["t0"], ["scores"], tasks)


def test_what_does_not_fit_beside_what_runs_waits() -> None:
    """Room for one picture and a half: six frames at a time are computed one after the other."""
    plan = classify()
    with nodes(plan, 1, memory_bytes=MIB + MIB // 2) as some:
        route = some.route("static")
        for turn in range(6):
            some.begin(route, a_frame(plan, turn))
        for turn in range(6):
            number, outputs = some.outputs()
            wanted = run_plan(plan, made_up(plan), a_frame(plan, turn))
            assert number == turn
            np.testing.assert_array_equal(outputs["scores"], wanted["scores"])
        assert MIB < some.stats(0)["peak_bytes"] <= MIB + MIB // 2


def test_a_frame_fails_when_nothing_will_free_the_memory_that_it_wants() -> None:
    plan = classify()
    with nodes(plan, 1, memory_bytes=MIB + MIB // 2) as some:
        some.modules[0]["keep"]("camera", as_tensor(a_frame(plan)["t0"]))
        frame = some.begin(some.route("static"), a_frame(plan))
        kind, number, node, text = some.next()
        assert (kind, number, node) == ("failed", frame, 0)
        assert text == (
            "data of a frame: 1.0 MiB do not fit: 1.0 MiB of 1.5 MiB are taken; "
            "allow more memory, or split the network further"
        )
        some.begin(some.route("static"), {}, "camera")  # which does fit
        some.outputs()


def test_a_task_fails_when_its_function_does_not_fit_beside_what_is_kept() -> None:
    plan = classify(stages=2)
    with nodes(plan, 1, memory_bytes=2 * MIB + MIB // 2) as some:
        some.modules[0]["keep"]("camera", as_tensor(a_frame(plan)["t0"]))
        some.modules[0]["keep"]("other", as_tensor(a_frame(plan)["t0"]))
        frame = some.begin(some.route("static"), {}, "camera")
        kind, number, node, text = some.next()
        assert (kind, number, node) == ("failed", frame, 0)
        assert text.startswith("task 'f0': 1.0 MiB do not fit: 2.0 MiB of 2.5 MiB are taken;")


def test_inputs_that_do_not_fit_are_not_kept() -> None:
    plan = classify()
    with nodes(plan, 1, memory_bytes=MIB + MIB // 2) as some:
        some.modules[0]["keep"]("camera", as_tensor(a_frame(plan)["t0"]))
        with pytest.raises(RuntimeError, match=r"inputs to keep: 1\.0 MiB do not fit"):
            some.modules[0]["keep"]("other", as_tensor(a_frame(plan)["t0"]))


def test_a_function_that_could_never_fit_is_refused_before_any_frame() -> None:
    plan = classify()
    with (
        pytest.raises(RuntimeError, match=f"function 'f0' takes {MIB + 4096} bytes .* limit is "),
        nodes(plan, 1, memory_bytes=MIB),
    ):
        pass


def test_data_is_let_go_of_as_soon_as_it_has_been_read() -> None:
    """Ten stages on one device hold two pictures at a time: what is read, and what is written."""
    plan = classify(stages=10)
    with nodes(plan, 1) as some:
        some.begin(some.route("static"), a_frame(plan))
        some.outputs()
        assert some.stats(0)["peak_bytes"] == 2 * MIB


def test_what_the_code_takes_counts_while_it_runs() -> None:
    """A function that needs 8 MiB for itself, and one that does not."""
    plan = classify()
    cost = replace(plan.functions["f0"].cost, peak_bytes=8 * MIB)
    plan = replace(plan, functions={"f0": replace(plan.functions["f0"], cost=cost)})
    with nodes(plan, 1, memory_bytes=9 * MIB) as some:
        some.begin(some.route("static"), a_frame(plan))
        some.outputs()
        assert some.stats(0)["peak_bytes"] == 8 * MIB


def test_results_wait_for_a_slow_reader() -> None:
    """The second device computes; the first one's results do not pile up beyond its limit."""
    plan = classify(stages=2)
    plan = replace(
        plan,
        tasks=tuple(replace(task, device=at) for at, task in enumerate(plan.tasks)),
        devices=2,
    )
    gate = threading.Event()

    def compute(name: str, arguments: Sequence[Array]) -> Sequence[Array]:
        if name == "f1":
            gate.wait(60)
        return made_up(plan)(name, arguments)

    with nodes(plan, 2, compute=compute, memory_bytes=5 * MIB) as some:
        route = some.route("static")
        for turn in range(12):
            some.begin(route, a_frame(plan, turn))
        gate.set()
        assert sorted(some.outputs()[0] for _ in range(12)) == list(range(12))
        for node in range(2):
            assert some.stats(node)["peak_bytes"] <= 5 * MIB


def test_a_client_that_is_done_leaves_no_memory_held() -> None:
    """Not even overlaps that nobody has fetched."""
    plan = reuse(3, 3)
    with nodes(plan, 3) as some:
        some.begin(some.route("stealing"), a_frame(plan))
        some.outputs()
        held = range(4)
        until(lambda: not any(some.stats(node)["held_bytes"] for node in held), "all is let go of")

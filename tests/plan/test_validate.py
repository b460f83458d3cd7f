"""A plan that passes can be relied on; each kind of mistake is named in one line."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lcp_tvm.errors import PlanError
from lcp_tvm.plan import check_flow
from lcp_tvm.plan.box import Box
from lcp_tvm.plan.plan import Cost, Fallback, Plan, Region, Tensor
from lcp_tvm.plan.validate import validate
from tests.plan.plans import (
    a_task,
    again,
    branches,
    chain,
    layers,
    reuse,
    strips,
    tiles,
    whole,
    with_task,
)

LEGAL = {
    "chain": chain(4),
    "branches": branches(3),
    "tiles": tiles(3, 4),
    "reuse": reuse(3, 3),
    "strips": strips(2, 3),
    "layers": layers(2, 4),
}


@pytest.mark.parametrize("plan", LEGAL.values(), ids=LEGAL)
def test_what_splits_make_passes(plan: Plan) -> None:
    validate(plan, memory_bytes=1 << 30)


def refused(plan: Plan, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        validate(plan)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


# --- names, numbers, types


def test_two_tasks_of_one_name() -> None:
    plan = with_task(tiles(1, 2), 1, name="tile_0_0")
    refused(plan, "two tasks have the name 'tile_0_0'; allowed is one")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 257, "\ud800"])
def test_a_name_that_cannot_be_printed(name: str) -> None:
    plan = chain(2)
    refused(with_task(plan, 0, name=name), "allowed are 1 to 256 printable characters")
    refused(replace(plan, name=name), "a network has the name")
    refused(replace(plan, split=name), "a split has the name")
    refused(replace(plan, tensors={**plan.tensors, name: Tensor((1,), "int8")}), "a tensor has")
    function = plan.functions["stage0"]
    refused(replace(plan, functions={**plan.functions, name: function}), "a function has the name")


def test_an_unknown_type() -> None:
    plan = chain(2)
    tensors = {**plan.tensors, "t0": replace(plan.tensors["t0"], dtype="float64")}
    refused(replace(plan, tensors=tensors), "tensor 't0' has type 'float64'; known are float32, ")


@pytest.mark.parametrize("shape", [(0,), (-1, 4), (1,) * 9, (1 << 16, 1 << 16)])
def test_a_shape_that_no_tensor_has(shape: tuple[int, ...]) -> None:
    plan = chain(2)
    tensors = {**plan.tensors, "t0": replace(plan.tensors["t0"], shape=shape)}
    refused(replace(plan, tensors=tensors), f"tensor 't0' has shape {list(shape)}; allowed are")


def test_inputs_and_outputs_that_are_no_tensors() -> None:
    refused(replace(chain(2), inputs=("picture",)), "input 'picture' is no tensor of the plan")
    refused(
        replace(chain(2), outputs=("x\n",)), r"output 'x\n' is no tensor of the plan: image, t0"
    )


def test_an_input_twice() -> None:
    refused(replace(chain(2), inputs=("image", "image")), "an input is listed twice")


def test_no_outputs() -> None:
    refused(replace(chain(2), outputs=()), "the plan has 0 outputs; allowed are 1 to")


def test_no_devices_or_too_many() -> None:
    refused(replace(chain(2), devices=0), "the plan has 0 devices; allowed are 1 to 10000")
    refused(replace(chain(2), replicas=0), "the plan has 0 replicas; allowed are 1 to 5000")
    refused(replace(chain(2), replicas=5001), "the plan has 5001 replicas; allowed are 1 to 5000")


@pytest.mark.parametrize("device", [-1, 2])
def test_a_device_that_is_not_there(device: int) -> None:
    plan = with_task(chain(2), 1, device=device)
    refused(plan, f"task 'stage1' has device {device}; allowed are 0 to 1, 'gateway' or none")


@pytest.mark.parametrize("needs", [0, 4])
def test_needs_of_more_reads_than_there_are(needs: int) -> None:
    plan = with_task(branches(3), 3, needs=needs)
    refused(plan, f"task 'head' needs {needs} of its reads; allowed are 1 to 3")
    validate(with_task(branches(3), 3, needs=2))


def test_needs_and_a_fallback() -> None:
    plan = with_task(reuse(2, 2), 2, needs=1)
    refused(plan, "task 'tile_0_1' has a fallback and needs 1; allowed is one of them")


# --- functions and regions


def test_an_unknown_function() -> None:
    refused(
        with_task(chain(2), 0, function="f"), "task 'stage0' calls 'f', no function of the plan"
    )
    fallback = Fallback("f", reuse(2, 2).tasks[0].reads)
    plan = with_task(reuse(2, 2), 2, fallback=fallback)
    refused(plan, "fallback of task 'tile_0_1' calls 'f', no function of the plan")


def test_a_function_of_other_arguments() -> None:
    plan = chain(2)
    function = plan.functions["stage1"]
    for args, found in (
        ((), "task 'stage1' reads 1 regions; function 'stage1' has 0 arguments"),
        (
            (Tensor((1, 16, 224, 9), "float32"),),
            "argument 0 of function 'stage1' is float32[1, 16, 2",
        ),
        (
            (Tensor((1, 16, 224, 224), "int8"),),
            "stage1' reads t0[0:1, 0:16, 0:224, 0:224], float32",
        ),
    ):
        functions = {**plan.functions, "stage1": replace(function, args=args)}
        refused(replace(plan, functions=functions), found)


def test_a_function_of_other_results() -> None:
    plan = tiles(2, 2)
    name = plan.tasks[0].function
    results = (Tensor((1, 16, 8, 7), "float32"),)
    functions = {**plan.functions, name: replace(plan.functions[name], results=results)}
    refused(
        replace(plan, functions=functions),
        f"task 'tile_0_0' writes map[0:1, 0:16, 0:8, 0:8], float32[1, 16, 8, 8]; "
        f"result 0 of function '{name}' is float32[1, 16, 8, 7]",
    )


def test_a_fallback_of_other_arguments() -> None:
    plan = reuse(2, 2)
    task = plan.tasks[2]
    assert task.fallback is not None
    fallback = replace(task.fallback, reads=(Region("image", ((0, 1), (0, 3), (0, 1), (0, 1))),))
    refused(
        with_task(plan, 2, fallback=fallback), "fallback of task 'tile_0_1' reads image[0:1, 0:"
    )


@pytest.mark.parametrize("cost", [Cost(macs=-1), Cost(peak_bytes=1 << 63)])
def test_a_cost_below_zero_or_beyond_counting(cost: Cost) -> None:
    plan = chain(1)
    functions = {"stage0": replace(plan.functions["stage0"], cost=cost)}
    refused(replace(plan, functions=functions), "function 'stage0' has Cost(")


def test_more_integer_work_than_work() -> None:
    plan = chain(1)
    cost = Cost(macs=5, integer_macs=6)
    functions = {"stage0": replace(plan.functions["stage0"], cost=cost)}
    refused(replace(plan, functions=functions), "function 'stage0' has 6 integer multiply-acc")


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf"), 1e300])
def test_a_time_that_no_clock_shows(time: float) -> None:
    plan = chain(1)
    functions = {"stage0": replace(plan.functions["stage0"], measured_ms={"pynq": time})}
    refused(replace(plan, functions=functions), f"function 'stage0' takes {time} ms on pynq")


def test_a_read_of_an_unknown_tensor() -> None:
    plan = with_task(chain(2), 1, reads=(Region("t7", ((0, 1),)),))
    refused(plan, "task 'stage1' reads 't7', no tensor of the plan: image, t0, t1")


@pytest.mark.parametrize(
    "box", [((0, 1), (0, 16), (0, 8), (0, 9)), ((0, 1), (-1, 16), (0, 8), (0, 8)), ((0, 1),)]
)
def test_a_box_that_leaves_its_tensor(box: Box) -> None:
    plan = tiles(1, 1)
    region = Region("map", box)
    refused(with_task(plan, 0, writes=(region,)), "task 'tile_0_0' writes map[")
    refused(with_task(plan, 1, reads=(region,)), "; allowed is what lies in [0:1, 0:16, 0:8, 0:8]")


def test_an_empty_box() -> None:
    region = Region("map", ((0, 1), (0, 16), (3, 3), (0, 8)))
    plan = with_task(tiles(1, 1), 1, reads=(region,))
    refused(plan, "task 'head' reads map[0:1, 0:16, 3:3, 0:8], which is empty")


def test_a_task_that_writes_nothing() -> None:
    refused(with_task(chain(2), 1, writes=()), "task 'stage1' writes nothing")


# --- every element once


def test_an_element_written_twice_names_both_tasks() -> None:
    plan = tiles(2, 2)
    region = Region("map", ((0, 1), (0, 16), (0, 8), (7, 16)))
    refused(
        again(with_task(plan, 1, writes=(region,), function="wide")),
        "map[0:1, 0:16, 0:8, 7:8] is written more than once, "
        "by task 'tile_0_0' and task 'tile_0_1'; allowed is once",
    )


def test_a_task_that_writes_an_element_twice() -> None:
    plan = chain(2)
    region = plan.tasks[0].writes[0]
    plan = again(with_task(plan, 0, writes=(region, region)))
    refused(plan, "is written more than once, by task 'stage0'; allowed is once")


def test_an_input_that_a_task_writes() -> None:
    plan = chain(2)
    extra = a_task("loop", [], [whole(plan.tensors, "image")])
    plan = again(replace(plan, tasks=(*plan.tasks, extra)))
    refused(plan, "is written more than once, by task 'loop' and the frame; allowed is once")


def test_a_gap_names_the_region_and_who_reads_it() -> None:
    plan = tiles(2, 2)
    refused(
        replace(plan, tasks=plan.tasks[:2] + plan.tasks[3:]),
        "no task writes map[0:1, 0:16, 8:16, 0:8], which task 'head' reads; "
        "every element is to be written once",
    )


def test_an_output_that_nobody_writes() -> None:
    refused(
        replace(chain(2), tasks=chain(2).tasks[:1]), "no task writes t1[0:1, 0:16, 0:224, 0:224];"
    )


# --- order


def test_a_read_of_what_comes_later() -> None:
    plan = tiles(1, 2)
    refused(
        replace(plan, tasks=(plan.tasks[0], plan.tasks[2], plan.tasks[1])),
        "task 'head' reads map[0:1, 0:16, 0:8, 8:16], which task 'tile_0_1' writes later",
    )


def test_a_fallback_that_reads_what_comes_later() -> None:
    plan = strips(layers=1, count=2)
    fallback = Fallback("other", plan.tasks[1].writes)
    plan = again(with_task(plan, 0, fallback=fallback))
    refused(
        plan, "task 'layer0_0' reads layer0[0:1, 0:16, 4:8, 0:32], which task 'layer0_1' writes"
    )


def test_tasks_that_wait_for_each_other() -> None:
    plan = chain(4)
    plan = again(with_task(plan, 1, reads=(*plan.tasks[1].reads, whole(plan.tensors, "t3"))))
    with pytest.raises(PlanError, match=r"tasks wait for each other: ") as caught:
        validate(plan)
    circle = re.findall(r"stage\d", str(caught.value))
    assert circle[0] == circle[-1]
    assert set(circle) == {"stage1", "stage2", "stage3"}


def test_a_long_circle_is_shortened() -> None:
    plan = chain(2000)
    plan = again(with_task(plan, 0, reads=(whole(plan.tensors, "t1999"),)))
    with pytest.raises(PlanError, match=r" -> \.\.\. -> "):
        validate(plan)


def test_more_edges_than_anyone_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_flow, "MAX_EDGES", 20)
    refused(layers(3, 4), "reads from too many others; allowed are 20 edges")

"""Whatever the plan: legal ones pass, any one mistake is caught, and soon with many tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import PlanError
from lcp_tvm.plan.plan import Plan, Region, Task, Tensor
from lcp_tvm.plan.validate import validate
from tests.plan.plans import again, strips, tiles, whole, with_task
from tests.plan.random_plans import plans


@given(plans())
def test_random_legal_plans_pass(plan: Plan) -> None:
    validate(plan)


Mutation = Callable[[st.DataObject, Plan], Plan]


def some_task(data: st.DataObject, plan: Plan) -> tuple[int, Task]:
    number = data.draw(st.integers(0, len(plan.tasks) - 1))
    return number, plan.tasks[number]


def drop_a_task(data: st.DataObject, plan: Plan) -> Plan:
    number, _ = some_task(data, plan)
    return replace(plan, tasks=plan.tasks[:number] + plan.tasks[number + 1 :])


def double_a_task(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    twin = replace(task, name=f"{task.name} again")
    return replace(plan, tasks=(*plan.tasks[: number + 1], twin, *plan.tasks[number + 1 :]))


def move_a_write(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    at = data.draw(st.integers(0, len(task.writes) - 1))
    region = task.writes[at]
    assume(region.box)
    axis = data.draw(st.integers(0, len(region.box) - 1))
    by = data.draw(st.sampled_from([(0, 1), (-1, 0), (1, 1), (0, -1), (1, 0)]))
    sides = list(region.box)
    sides[axis] = (sides[axis][0] + by[0], sides[axis][1] + by[1])
    writes = list(task.writes)
    writes[at] = replace(region, box=tuple(sides))
    return again(with_task(plan, number, writes=tuple(writes), function=f"{task.function} moved"))


def read_outside(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    tensor = data.draw(st.sampled_from(sorted(plan.tensors)))
    shape = plan.tensors[tensor].shape
    region = Region(tensor, (*((0, size) for size in shape[:-1]), (0, sum(shape[-1:]) + 1)))
    return with_task(plan, number, reads=(*task.reads, region))


def read_what_comes_later(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    later = data.draw(st.sampled_from(plan.tasks[number:]))
    return again(
        with_task(plan, number, reads=(*task.reads, later.writes[0]), function=f"{task.name} waits")
    )


def read_an_unknown_tensor(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    return with_task(plan, number, reads=(*task.reads, Region("unknown", ())))


def call_an_unknown_function(data: st.DataObject, plan: Plan) -> Plan:
    return with_task(plan, some_task(data, plan)[0], function="unknown")


def change_a_signature(data: st.DataObject, plan: Plan) -> Plan:
    _, task = some_task(data, plan)
    function = plan.functions[task.function]
    result = function.results[0]
    shape = (*result.shape[:-1], sum(result.shape[-1:]) + 1)
    wrong = data.draw(
        st.sampled_from(
            [
                replace(function, results=(replace(result, shape=shape), *function.results[1:])),
                replace(function, results=function.results[1:]),
                replace(function, args=(*function.args, Tensor((), "bool"))),
            ]
        )
    )
    return replace(plan, functions={**plan.functions, task.function: wrong})


def take_an_unknown_device(data: st.DataObject, plan: Plan) -> Plan:
    device = data.draw(st.integers(plan.devices, 1 << 40) | st.integers(max_value=-1))
    return with_task(plan, some_task(data, plan)[0], device=device)


def name_a_task_like_another(data: st.DataObject, plan: Plan) -> Plan:
    assume(len(plan.tasks) > 1)
    one, other = data.draw(st.permutations(range(len(plan.tasks))))[:2]
    return with_task(plan, one, name=plan.tasks[other].name)


def grow_a_tensor(data: st.DataObject, plan: Plan) -> Plan:
    name = data.draw(st.sampled_from([name for name in plan.tensors if name not in plan.inputs]))
    tensor = plan.tensors[name]
    assume(tensor.shape)
    grown = replace(tensor, shape=(*tensor.shape[:-1], tensor.shape[-1] + 1))
    return replace(plan, tensors={**plan.tensors, name: grown})


def forget_an_input(data: st.DataObject, plan: Plan) -> Plan:
    return replace(plan, inputs=plan.inputs[1:])


def write_an_input(data: st.DataObject, plan: Plan) -> Plan:
    extra = Task("extra", "extra", (), (whole(plan.tensors, plan.inputs[0]),))
    return again(replace(plan, tasks=(*plan.tasks, extra)))


def need_too_much(data: st.DataObject, plan: Plan) -> Plan:
    number, task = some_task(data, plan)
    needs = data.draw(st.integers(len(task.reads) + 1, 99) | st.integers(-9, 0))
    return with_task(plan, number, needs=needs)


MUTATIONS: list[Mutation] = [
    drop_a_task,
    double_a_task,
    move_a_write,
    read_outside,
    read_what_comes_later,
    read_an_unknown_tensor,
    call_an_unknown_function,
    change_a_signature,
    take_an_unknown_device,
    name_a_task_like_another,
    grow_a_tensor,
    forget_an_input,
    write_an_input,
    need_too_much,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_any_one_mistake_is_caught(mutate: Mutation) -> None:
    @settings(max_examples=25)
    @given(plans(), st.data())
    def check(plan: Plan, data: st.DataObject) -> None:
        with pytest.raises(PlanError) as caught:
            validate(mutate(data, plan))
        assert str(caught.value).isprintable()

    check()


LARGE = {"tiles": lambda: tiles(70, 70, devices=16), "strips": lambda: strips(70, 70)}


@pytest.mark.parametrize("kind", LARGE)
def test_five_thousand_tasks_take_less_than_a_second(kind: str) -> None:
    plan = LARGE[kind]()
    assert len(plan.tasks) >= 4900
    start = time.process_time()
    validate(plan)
    assert time.process_time() - start < 1


def one_missing(plan: Plan) -> Plan:
    return replace(plan, tasks=plan.tasks[:2477] + plan.tasks[2478:])


def all_the_same(plan: Plan) -> Plan:
    first = plan.tasks[0]
    tasks = (replace(task, reads=first.reads, writes=first.writes) for task in plan.tasks[:-1])
    return again(replace(plan, tasks=(*tasks, plan.tasks[-1])))


def last_reaches_over(plan: Plan) -> Plan:
    number = len(plan.tasks) - 2
    everything = whole(plan.tensors, "map")
    return again(with_task(plan, number, writes=(everything,), function="everything"))


@pytest.mark.parametrize("mutate", [one_missing, all_the_same, last_reaches_over])
def test_a_mistake_among_five_thousand_is_found_as_fast(mutate: Callable[[Plan], Plan]) -> None:
    plan = mutate(tiles(70, 70))
    start = time.process_time()
    with pytest.raises(PlanError, match=r"no task writes map|written more than once"):
        validate(plan)
    assert time.process_time() - start < 1

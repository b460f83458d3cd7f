"""A plan as JSON: what goes in comes out, and nothing damaged gets through."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from lcp_tvm.errors import PackageError
from lcp_tvm.plan import plan_json as module
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.plan_json import FORMAT, parse_plan, plan_json
from tests.plan.plans import branches, chain, reuse, strips, tiles, with_task
from tests.plan.random_plans import plans

EXAMPLE = """{
 "format": 1,
 "name": "net",
 "split": "lcp:1",
 "devices": 1,
 "replicas": 1,
 "policy": "static",
 "inputs": ["image"],
 "outputs": ["scores"],
 "tensors": {
  "branch0": ["float32", [1, 8, 8, 8]],
  "image": ["float32", [1, 3, 32, 32]],
  "scores": ["float32", [1, 10]]
 },
 "functions": {
  "branch0": {"args": [["float32", [1, 3, 32, 32]]], "results": [["float32", [1, 8, 8, 8]]], \
"cost": {"macs": 73728, "elements": 512, "weight_bytes": 9216, "peak_bytes": 14336}},
  "head": {"args": [["float32", [1, 8, 8, 8]]], "results": [["float32", [1, 10]]], \
"cost": {"macs": 1440, "elements": 10, "weight_bytes": 9216, "peak_bytes": 2088}}
 },
 "tasks": [
  {"name": "branch0", "function": "branch0", \
"reads": [["image", [[0, 1], [0, 3], [0, 32], [0, 32]]]], \
"writes": [["branch0", [[0, 1], [0, 8], [0, 8], [0, 8]]]], "device": 0},
  {"name": "head", "function": "head", \
"reads": [["branch0", [[0, 1], [0, 8], [0, 8], [0, 8]]]], \
"writes": [["scores", [[0, 1], [0, 10]]]], "device": "gateway"}
 ]
}
"""


def read(text: str | bytes) -> Plan:
    return parse_plan(text if isinstance(text, bytes) else text.encode(), "net.lcp")


def refused(text: str | bytes, message: str) -> None:
    with pytest.raises(PackageError) as caught:
        read(text)
    assert str(caught.value).startswith("net.lcp: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_text_of_a_plan() -> None:
    assert plan_json(branches(1)) == EXAMPLE


def test_a_fallback_and_needs_are_written_where_they_are() -> None:
    rows = json.loads(plan_json(with_task(reuse(1, 2), 2, needs=1)))["tasks"]
    assert rows[0].keys() == {"name", "function", "reads", "writes"}
    assert rows[1]["fallback"]["function"] == "tile_0_1_alone"
    assert rows[2]["needs"] == 1


@given(plans())
def test_reads_what_was_written(plan: Plan) -> None:
    text = plan_json(plan)
    assert read(text) == plan
    assert plan_json(read(text)) == text


def test_equal_plans_have_equal_text() -> None:
    plan = tiles(3, 3)
    other = replace(
        plan,
        tensors=dict(reversed(plan.tensors.items())),
        functions=dict(reversed(plan.functions.items())),
    )
    assert plan_json(plan) == plan_json(other)


def test_thousands_of_tasks_are_read_in_no_time() -> None:
    text = plan_json(strips(70, 70))
    start = time.process_time()
    assert len(read(text).tasks) == 4900
    assert time.process_time() - start < 3


def test_a_newer_format_says_what_to_do() -> None:
    text = EXAMPLE.replace('"format": 1', f'"format": {FORMAT + 1}, "more": 0')
    refused(text, f"format {FORMAT + 1} of its plan is newer than {FORMAT}")
    refused(text, "update lcp-tvm")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", "Expecting value"),
        ('"format": 1', '"format": true', "format: 'True' is no integer"),
        ('"format": 1', '"format": 0', "format: '0' is no format 1"),
        (' "name": "net",\n', "", "key 'name' is missing"),
        ('"devices"', '"colour": 1, "devices"', "key 'colour' is not a key that is known"),
        ('"devices": 1', '"devices": 1.0', "devices: '1.0' is no integer"),
        ('"devices": 1', f'"devices": {1 << 64}', "is no integer"),
        ('"devices": 1', '"devices": 0', "the plan has 0 devices"),
        ('"devices": 1', '"devices": NaN', "NaN is no number"),
        ('"inputs": ["image"]', '"inputs": "image"', "inputs: 'image' is no list"),
        ('"inputs": ["image"]', '"inputs": [["x"]]', """inputs[0]: "['x']" is no text"""),
        ('"head": {"args"', '"branch0": {"args"', "a key is there twice"),
        ('"macs": 73728', '"macs": null', "functions['branch0'].cost.macs: 'None' is no integer"),
        ('"macs": 73728', '"mac": 73728', "functions['branch0'].cost: key 'mac' is not a key"),
        ("[0, 32]]]]", "[0, 32, 1]]]]", "tasks[0].reads[0][3]: '[0, 32, 1]' is no list of two"),
        (
            "[0, 32]]]]",
            "[0, 33]]]]",
            "task 'branch0' reads image[0:1, 0:3, 0:32, 0:33]; allowed is",
        ),
        ('"device": 0', '"device": "x"', "tasks[0].device: 'x' is no integer"),
        ('"device": 0', '"device": 1', "task 'branch0' has device 1"),
        ('"name": "head"', r'"name": "\u000a"', r"a task has the name '\n'"),
        ('["image"]', r'["\ud800"]', r"input '\ud800' is no tensor of the plan"),
        ("[1, 10]", "[" * 100_000, "recursion"),
        ('"device": 0', f'"device": {"9" * 5000}', "Exceeds the limit"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    refused(EXAMPLE.replace(old, new, 1) if old else "", message)


def test_no_more_is_read_than_a_plan_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    refused(EXAMPLE, f"it has {len(EXAMPLE)} bytes; allowed are 100")


@pytest.mark.parametrize("text", [b"[]", b"null", b"\xff\xfe", b"\x00", b'"x"', b"1e999", b"{}"])
def test_what_is_no_plan_at_all(text: bytes) -> None:
    refused(text, "its plan is wrong: ")


# --- damage

SMALL = [branches(2), reuse(1, 2), chain(2), strips(2, 2)]


def read_or_refuse(text: bytes) -> Plan | None:
    """Anything else than a plan that can be written again, or a PackageError, is a defect."""
    plan, message = None, ""
    try:
        plan = read(text)
    except PackageError as error:
        message = str(error)
    assert message.isprintable()
    assert plan is None or read(plan_json(plan)) == plan
    return plan


@pytest.mark.parametrize("plan", SMALL, ids=lambda plan: plan.split)
def test_no_beginning_of_a_plan_is_a_plan(plan: Plan) -> None:
    text = plan_json(plan).encode().rstrip()
    for end in range(0, len(text), 7):
        assert read_or_refuse(text[:end]) is None


@pytest.mark.parametrize("plan", SMALL, ids=lambda plan: plan.split)
def test_flipped_bits_are_refused_or_give_another_plan(plan: Plan) -> None:
    rng = random.Random(plan.split)
    text = plan_json(plan).encode()
    for _ in range(500):
        damaged = bytearray(text)
        for _ in range(rng.choice([1, 1, 2, 8])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        read_or_refuse(bytes(damaged))


@pytest.mark.parametrize("plan", SMALL, ids=lambda plan: plan.split)
def test_a_value_of_another_type_is_refused_anywhere(plan: Plan) -> None:
    values = json.loads(plan_json(plan))
    rng = random.Random(plan.split)
    for holder, key in places(values):
        old = holder[key]
        for new in rng.sample(STRANGE, 4):
            if type(new) is not type(old):
                holder[key] = new
                found = read_or_refuse(json.dumps(values).encode())
                assert found is None or may_be(key, new)
        holder[key] = old


STRANGE: list[Any] = [
    None,
    True,
    0.5,
    -1,
    1 << 70,
    "",
    "image",
    [],
    [[]],
    {},
    {"x": 1},
    [0, 1],
    1e400,
]


def may_be(key: int | str, value: Any) -> bool:
    """Whether a key may have a value of that type: a cost is optional, and so are its parts."""
    return key in ("cost", "measured_ms") and value == {}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value: what holds it and under which key or number."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])

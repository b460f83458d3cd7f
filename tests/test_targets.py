"""``--target`` with exceptions by device."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.errors import InputError
from lcp_tvm.plan.plan import GATEWAY
from lcp_tvm.targets import parse_targets
from tests.packages import a_plan


def test_one_target_is_for_all_devices() -> None:
    targets = parse_targets("vta")
    assert {targets.of(device).text for device in (0, 7, GATEWAY)} == {"vta:pynq_z1"}
    assert targets.text == "vta:pynq_z1"


def test_devices_have_exceptions() -> None:
    targets = parse_targets("vta, gateway=arm:rpi4,2-3=arm:rpi3")
    found = [targets.of(device).text for device in (0, 1, 2, 3, 4, GATEWAY)]
    assert found == ["vta:pynq_z1"] * 2 + ["arm:rpi3"] * 2 + ["vta:pynq_z1", "arm:rpi4"]


def test_the_text_reads_back() -> None:
    targets = parse_targets("vta:ultra96@arm,gateway=cpu,3=arm:rpi3,1-2=vta:sim")
    assert targets.text == ("vta:ultra96@arm,1=vta:sim,2=vta:sim,3=arm:rpi3,gateway=cpu")
    assert parse_targets(targets.text) == targets


def test_an_exception_with_the_same_target_is_none() -> None:
    assert parse_targets("cpu,1=cpu") == parse_targets("cpu")


def test_targets_of_a_plan_are_those_of_its_devices() -> None:
    plan = replace(a_plan(), devices=2)
    targets = parse_targets("vta,0-1=cpu")
    assert [target.text for target in targets.for_plan(plan)] == ["vta:pynq_z1", "cpu"]
    targets = parse_targets("vta,0-1=cpu,gateway=cpu")
    assert [target.text for target in targets.for_plan(plan)] == ["cpu"]


def test_replicas_are_devices_too() -> None:
    plan = replace(a_plan(), replicas=3)
    assert len(parse_targets("vta,2=cpu").for_plan(plan)) == 2


def test_a_device_that_the_plan_does_not_have() -> None:
    with pytest.raises(InputError, match=r"there is no device 1; split none has devices 0 to 0"):
        parse_targets("vta,1=cpu").for_plan(a_plan())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vta,arm:rpi3", "'arm:rpi3' is not DEVICE=TARGET"),
        ("vta,", "'' is not DEVICE=TARGET"),
        ("vta,-1=cpu", "'-1=cpu' is not DEVICE=TARGET"),
        ("vta,1=gpu", "'gpu': no such target"),
        ("gateway=cpu", "'gateway=cpu': no such target"),
        ("vta,1=cpu,0-1=cpu", "device 1 is there twice"),
        ("vta,gateway=cpu,gateway=cpu", "device gateway is there twice"),
        ("vta,3-2=cpu", "devices 3 to 2: give the smaller number first"),
        ("vta,0-99999=cpu", "allowed are 0 to 9999"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_targets(text)


@given(st.text(max_size=30), st.text(alphabet="0123456789-=gatewycpu,:", max_size=30))
def test_any_text_reads_or_is_told(first: str, second: str) -> None:
    for text in (first, f"cpu,{second}"):
        try:
            assert parse_targets(parse_targets(text).text) == parse_targets(text)
        except InputError as error:
            assert "--target" in str(error)  # noqa: PT017 (either way is right)

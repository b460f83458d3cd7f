"""What --target may say, and which processor the CPU parts are compiled for."""

from __future__ import annotations

import pytest

from lcp_tvm.cpu.processor import this_processor
from lcp_tvm.cpu.target import compile_for, parse_target, target_names
from lcp_tvm.errors import InputError

HERE = this_processor()


@pytest.mark.parametrize(
    ("text", "kind", "vta", "processor"),
    [
        ("vta", "vta", "pynq_z1", HERE),
        ("vta:ultra96", "vta", "ultra96", HERE),
        ("vta:sim@x86-64-v2", "vta", "sim", "x86-64-v2"),
        ("vta:pynq_z2@arm", "vta", "pynq_z2", "cortex-a9"),
        ("vta:zcu104@arm", "vta", "zcu104", "cortex-a53"),
        ("vta:my/board.json", "vta", "my/board.json", HERE),
        ("vta:me@home.json@x86-64-v3", "vta", "me@home.json", "x86-64-v3"),
        ("arm:pynq", "arm", None, "cortex-a9"),
        ("arm:rpi3", "arm", None, "cortex-a53"),
        ("arm:rpi4", "arm", None, "cortex-a72"),
        ("arm:rpi5", "arm", None, "cortex-a76"),
        ("cpu", "cpu", None, HERE),
        ("cpu:x86-64-v4-vnni", "cpu", None, "x86-64-v4-vnni"),
    ],
)
def test_targets(text: str, kind: str, vta: str | None, processor: str) -> None:
    target = parse_target(text)
    assert (target.kind, target.vta, target.processor.name) == (kind, vta, processor)
    assert target.tvm_target().kind.name == "llvm"


@pytest.mark.parametrize("name", target_names())
def test_every_name_parses_to_itself(name: str) -> None:
    assert parse_target(name).text == name


def test_old_c_libraries_are_enough() -> None:
    assert parse_target("arm:pynq").zig_triple == "arm-linux-gnueabihf.2.27"
    assert parse_target("arm:rpi3").zig_triple == "aarch64-linux-gnu.2.27"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vtb", "no such target"),
        ("arm:rpi33", "did you mean arm:rpi3"),
        ("vta:pynq_z3", "did you mean vta:pynq_z"),
        ("vta:sim@arm", "no board with ARM cores"),
        ("arm", "no such target"),
        ("cpu:x86-64-v5", "did you mean cpu:x86-64-v"),
        ("vta:sim@x86-64-v5", "no such target.*@LEVEL of a cpu"),
        ("", "no such target"),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_target(text)


@pytest.mark.parametrize(
    ("text", "found", "advice"),
    [
        ("cpu", "x86-64-v3", "compile it with --target cpu:x86-64-v3"),
        ("cpu:x86-64-v4", "x86-64-v2", "compile it with --target cpu:x86-64-v2"),
        ("vta:sim@x86-64-v4", "x86-64-v3", "compile it with --target vta:sim@x86-64-v3"),
        ("arm:rpi5", "aarch64", "compile the network for this machine"),
        ("arm:rpi5", "x86-64-v3", "compile the network for this machine"),
    ],
)
def test_what_to_compile_for_a_machine_that_lacks_something(
    text: str, found: str, advice: str
) -> None:
    assert compile_for(text, found) == advice

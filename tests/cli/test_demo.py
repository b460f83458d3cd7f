"""``lcp-tvm demo``: two branches on two boards, their original on one."""

import re

import pytest

from lcp_tvm.bundled import EXAMPLE, bundled_examples
from lcp_tvm.cli.demo import BRANCHES, ORIGINAL
from lcp_tvm.frontend.load import load_network
from tests.cli.refused import outcome

Capture = pytest.CaptureFixture[str]


def test_two_boards_find_the_boot_and_are_faster(capfd: Capture) -> None:
    status, out, err = outcome(capfd, "demo")
    assert (status, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "1. compile vgg_split2.onnx for two boards, vta:pynq_z1,gateway=cpu"
    assert "2. push it to two local workers over RPC and run" in lines
    assert "3. the original, vgg_int8.onnx, on one worker" in lines
    # A branch has a time on the VTA only where nothing of it is left to the CPU.
    branches = {line.split()[0]: line.split()[-1] for line in lines if line.startswith("branch_")}
    assert sorted(branches) == ["branch_0", "branch_1"]
    assert all(float(milliseconds) > 1 for milliseconds in branches.values())
    answers = [line.split()[1] for line in lines if line.startswith("ankle-boot.png")]
    assert answers == ["ankle-boot", "ankle-boot"]
    assert lines[-4] == (
        "4. latency of a picture, modelled: the simulator's cycles and the link of pynq-2-pc.toml"
    )
    one = re.fullmatch(r"the original on one board +(\S+) ms", lines[-3])
    two = re.fullmatch(r"two branches on two boards +(\S+) ms", lines[-2])
    ratio = re.fullmatch(r" +(\S+)x lower", lines[-1])
    assert one is not None
    assert two is not None
    assert ratio is not None
    assert float(ratio[1]) >= 2.7
    assert float(ratio[1]) == pytest.approx(float(one[1]) / float(two[1]), abs=0.02)


def test_the_branches_are_small() -> None:
    assert (bundled_examples() / EXAMPLE / BRANCHES).stat().st_size < 2e6


def test_the_two_networks_take_the_same_pictures_and_tell_the_same_classes() -> None:
    folder = bundled_examples() / EXAMPLE
    original, branches = load_network(folder / ORIGINAL), load_network(folder / BRANCHES)
    assert original.input_shape == branches.input_shape == (1, 1, 28, 28)
    assert original.labels == branches.labels
    assert original.preprocess == branches.preprocess

"""``lcp-tvm demo``: from the bundled model to the right answer."""

import pytest

from tests.cli.refused import outcome

Capture = pytest.CaptureFixture[str]


def test_finds_the_boot(capfd: Capture) -> None:
    status, out, err = outcome(capfd, "demo")
    assert (status, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "1. compile fashion_net.onnx for vta:pynq_z1"
    assert "2. push it to a local worker over RPC and run" in lines
    (answer,) = (line for line in lines if line.startswith("ankle-boot.png"))
    assert answer.split()[1] == "ankle-boot"
    assert lines[-1].startswith("vta_0: ")
    assert lines[-1].endswith(" ms simulated")


def test_a_wrong_target_is_told_in_one_line(capfd: Capture) -> None:
    status, _, err = outcome(capfd, "demo", "--target", "gpu")
    assert status == 2
    assert err.startswith("lcp-tvm: --target 'gpu': no such target")
    assert err.count("\n") == 1

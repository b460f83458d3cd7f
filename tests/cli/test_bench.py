"""``lcp-tvm bench``: what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcp_tvm.rpc.emulation import network
from tests.cli.refused import refused

Capture = pytest.CaptureFixture[str]
CLUSTERS = Path(__file__).parents[2] / "examples" / "clusters"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--emulate"], "--emulate emulates a cluster"),
        (["--cluster", "a.toml", "--workers", "a:1"], "not both"),
        (["--workers", "a:1", "--devices", "2"], "go with --emulate"),
        (["--slow-motion", "2"], "go with --emulate"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, capfd: Capture, options: list[str], told: str
) -> None:
    assert told in refused(capfd, "bench", tmp_path / "net.lcp", *options)


def test_who_is_not_root_cannot_emulate(
    fashion_package: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    cluster = CLUSTERS / "pynq-2.toml"
    told = refused(capfd, "bench", fashion_package, "--cluster", cluster, "--emulate")
    assert "emulated boards need root" in told


def test_more_sources_than_devices(fashion_package: Path, capfd: Capture) -> None:
    options = ("--cluster", CLUSTERS / "pynq-2.toml", "--emulate", "--sources", 3)
    assert "3 sources" in refused(capfd, "bench", fashion_package, *options)

"""Installing on a running system: the service is started, and one that does not start goes.

In a mount namespace whose /opt and /etc are empty, with a stand-in for systemctl: needs root.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.board.test_kit import unpacked

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >>"$LOG"
[ "$1" != is-active ] || ! grep -q broken /opt/lcp-tvm/lcp-agent
"""
SHOW = "cat /opt/lcp-tvm/agent.conf /opt/lcp-tvm/lcp-agent; ls /opt /etc/systemd/system"
WORKING, BROKEN = (b"#!/bin/sh\n# %s\nexit 0\n" % word for word in (b"working", b"broken"))
WRONG = b"#!/bin/sh\nexit 1\n"


def on_a_system(folder: Path, *commands: str) -> tuple[str, list[str]]:
    """Run commands one after the other; what was printed, and what systemctl was told."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    log, systemctl = folder / "log", folder / "bin" / "systemctl"
    log.touch()
    systemctl.parent.mkdir()
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    mounts = ("mount -t tmpfs none /opt", "mount -t tmpfs none /etc")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "; ".join((*mounts, *commands))],
        env={"PATH": f"{systemctl.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "LOG": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, log.read_text().splitlines()


def kit_of(agent: bytes, folder: Path) -> Path:
    folder.mkdir()
    return unpacked("rpi4", folder, agent)


def test_the_service_is_started(tmp_path: Path) -> None:
    kit = kit_of(WORKING, tmp_path / "kit")
    shown, told = on_a_system(tmp_path, f"{kit}/install.sh --host 0.0.0.0", SHOW)
    assert "LCP_AGENT_OPTIONS=--port 9090 --host 0.0.0.0\n" in shown
    assert shown.endswith("/etc/systemd/system:\nlcp-agent.service\n\n/opt:\nlcp-tvm\n")
    assert told == [
        "daemon-reload",
        "enable lcp-agent",
        "restart lcp-agent",
        "is-active --quiet lcp-agent",
    ]


def test_an_agent_that_does_not_start_gives_way_to_the_old_one(tmp_path: Path) -> None:
    """With its options."""
    old, new = kit_of(WORKING, tmp_path / "old"), kit_of(BROKEN, tmp_path / "new")
    shown, told = on_a_system(tmp_path, f"{old}/install.sh", f"{new}/install.sh --port 1", SHOW)
    assert "install.sh: the agent does not start; see journalctl -u lcp-agent" in shown
    assert "LCP_AGENT_OPTIONS=--port 9090\n" in shown
    assert "# working" in shown
    assert shown.endswith("/opt:\nlcp-tvm\n")
    assert told[-2:] == ["is-active --quiet lcp-agent", "restart lcp-agent"]


def test_a_kit_for_another_board_changes_nothing(tmp_path: Path) -> None:
    """Nor do options that the agent refuses."""
    old, new = kit_of(WORKING, tmp_path / "old"), kit_of(WRONG, tmp_path / "new")
    shown, told = on_a_system(tmp_path, f"{old}/install.sh", f"{new}/install.sh", SHOW)
    assert "install.sh: the agent does not run so on this " in shown
    assert "# working" in shown
    assert shown.endswith("/opt:\nlcp-tvm\n")
    assert len(told) == 4


def test_uninstalling_stops_it(tmp_path: Path) -> None:
    kit = kit_of(WORKING, tmp_path / "kit")
    shown, told = on_a_system(
        tmp_path, f"{kit}/install.sh", "/opt/lcp-tvm/uninstall.sh", "ls /opt /etc/systemd/system"
    )
    assert shown.endswith("removed\n/etc/systemd/system:\n\n/opt:\n")
    assert told[-2:] == ["disable --now lcp-agent", "daemon-reload"]

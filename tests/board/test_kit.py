"""A kit: what is in it, and that its scripts install and remove all of it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from lcp_tvm.board.boards import BOARDS
from lcp_tvm.board.kit import write_kit
from lcp_tvm.board.self_test import self_test
from lcp_tvm.errors import InputError
from lcp_tvm.vta.config import load_config
from tests.cli.refused import files_in

AGENT = b"\x7fELF of an agent"
OPTIONS = "opt/lcp-tvm/agent.conf"
UNIT = "etc/systemd/system/lcp-agent.service"


def unpacked(board: str, folder: Path, agent: bytes = AGENT) -> Path:
    """A kit's folder, as tar leaves it on the board."""
    path = folder / "kit.tar.gz"
    write_kit(BOARDS[board], agent, path)
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"lcp-agent-{board}"


def install(kit: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run(kit / "install.sh", root, *options)


def run(script: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *options],
        env={"DESTDIR": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_it_holds_all_that_a_board_needs(tmp_path: Path) -> None:
    kit = unpacked("pynq_z1", tmp_path)
    assert (kit / "lcp-agent").read_bytes() == AGENT
    assert (kit / "VERSION").read_text() == f"{version('lcp-tvm')}\n"
    config = (kit / "vta.json").read_text()
    assert json.loads(config)["TARGET"] == "pynq"
    assert (kit / "self_test.vta").read_bytes() == self_test(load_config("pynq_z1"))
    executable = {path.name for path in kit.iterdir() if path.is_file() and path.stat().st_mode & 1}
    assert executable == {"lcp-agent", "install.sh", "uninstall.sh"}
    licences = "".join(path.read_text() for path in sorted((kit / "licences").iterdir()))
    for words in ("Apache License", "Apache TVM FFI", "LLVM Exceptions", "zig contributors"):
        assert words.lower() in licences.lower()


def test_a_board_without_an_accelerator_gets_nothing_for_one(tmp_path: Path) -> None:
    assert list(unpacked("rpi4", tmp_path).glob("*vta*")) == []


def test_every_file_has_its_checksum(tmp_path: Path) -> None:
    kit = unpacked("zcu104", tmp_path)
    sums = dict(line.split()[::-1] for line in (kit / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(kit).as_posix(): path for path in kit.rglob("*") if path.is_file()}
    del files["SHA256SUMS"]
    assert sums == {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()}


def test_the_same_agent_gives_the_same_bytes(tmp_path: Path) -> None:
    """And the files are nobody's, of no time."""
    one, two = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    write_kit(BOARDS["pynq_z2"], AGENT, one)
    write_kit(BOARDS["pynq_z2"], AGENT, two)
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(one.read_bytes())) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in entries} == {(0, 0, 0, "", "")}


def test_it_installs_with_its_own_port_and_config(tmp_path: Path) -> None:
    kit, root = unpacked("pynq_z1", tmp_path), tmp_path / "root"
    done = install(kit, root)
    assert done.returncode == 0, done.stderr
    assert (root / "opt/lcp-tvm/lcp-agent").read_bytes() == AGENT
    options = (root / OPTIONS).read_text().strip()
    assert options == ("LCP_AGENT_OPTIONS=--port 9090 --vta /opt/lcp-tvm/vta.json --board auto")
    unit = (root / UNIT).read_text()
    assert "ExecStart=/opt/lcp-tvm/lcp-agent " in unit
    assert "User=" not in unit  # root, whose the accelerator's memory is


def test_without_an_accelerator_it_is_a_user_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    install(unpacked("rpi4", tmp_path), root)
    assert "DynamicUser=yes\n" in (root / UNIT).read_text()
    assert (root / OPTIONS).read_text() == "LCP_AGENT_OPTIONS=--port 9090\n"


def test_nothing_is_open_to_the_network_unless_told(tmp_path: Path) -> None:
    kit, root = unpacked("rpi3", tmp_path), tmp_path / "root"
    install(kit, root)
    assert "--host" not in (root / OPTIONS).read_text()
    install(kit, root, "--host", "0.0.0.0")
    assert "--host 0.0.0.0" in (root / OPTIONS).read_text()


def test_another_version_keeps_the_options(tmp_path: Path) -> None:
    root = tmp_path / "root"
    install(unpacked("rpi3", tmp_path), root, "--tracker", "10.0.0.9:9190")
    before = (root / OPTIONS).read_text()
    shutil.rmtree(tmp_path / "lcp-agent-rpi3")
    done = install(unpacked("rpi3", tmp_path, AGENT + b", newer"), root)
    assert done.returncode == 0, done.stderr
    assert (root / OPTIONS).read_text() == before
    assert (root / "opt/lcp-tvm/lcp-agent").read_bytes() == AGENT + b", newer"
    assert {path.name for path in (root / "opt").iterdir()} == {"lcp-tvm"}


def test_a_damaged_kit_changes_nothing(tmp_path: Path) -> None:
    kit, root = unpacked("rpi5", tmp_path), tmp_path / "root"
    install(kit, root)
    before = files_in(root)
    (kit / "lcp-agent").write_bytes(AGENT[:-1])
    done = install(kit, root, "--port", "1")
    assert done.returncode == 1
    assert "install.sh: the kit is damaged" in done.stderr
    assert files_in(root) == before
    assert "--port 9090" in (root / OPTIONS).read_text()


def test_a_disk_that_is_full_leaves_the_old_one(tmp_path: Path) -> None:
    """The new agent does not fit beside the old one, which stays whole."""
    kit, root = unpacked("rpi5", tmp_path), tmp_path / "root"
    install(kit, root)
    before = files_in(root)
    shutil.rmtree(kit)
    kit = unpacked("rpi5", tmp_path, AGENT * 100_000)
    limited = f"ulimit -f 512; exec {kit}/install.sh"
    done = subprocess.run(
        ["sh", "-c", limited],
        env={"DESTDIR": str(root), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert files_in(root) == before
    assert (root / "opt/lcp-tvm/lcp-agent").read_bytes() == AGENT


def test_uninstalling_leaves_nothing(tmp_path: Path) -> None:
    kit, root = unpacked("ultra96", tmp_path), tmp_path / "root"
    (root / "var/lib/private/lcp-tvm").mkdir(parents=True)
    install(kit, root)
    done = run(root / "opt/lcp-tvm/uninstall.sh", root)
    assert done.returncode == 0, done.stderr
    assert [path for path in root.rglob("*") if path.is_file() or path.name == "lcp-tvm"] == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"kit\.tar\.gz: cannot be written"):
        write_kit(BOARDS["rpi3"], AGENT, tmp_path / "none" / "kit.tar.gz")

"""Installed as a wheel or editable: all parts are there, and nothing at the top level but lcp_tvm.

`rpc` and `relay_passes` lie at the top of the repository; a wheel that put them into
site-packages under these names would break other people's imports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ONE_WHEEL = pytest.mark.xdist_group("wheel")  # built once, by one worker
PARTS = ("lcp_tvm", "relay_passes", "rpc", "vta_configs", "examples", "native")
FILES = ("pyproject.toml", "README.md", "LICENSE")

CHECK = """
import lcp_tvm.relay_passes.lower_qdq
import lcp_tvm.rpc
from lcp_tvm import native
from lcp_tvm.board.sources import find_sources
from lcp_tvm.bundled import bundled_examples
from lcp_tvm.vta.config import config_names
assert "pynq_z1" in config_names()
assert (bundled_examples() / "lcp_fashion_mnist" / "vgg_split2.onnx").is_file()
assert find_sources().files
print(native.load())
"""

AGENT = "from lcp_tvm.rpc.worker import main; main()"

NOTHING_ELSE = """
import importlib.util
for name in ("rpc", "relay_passes", "native", "examples", "vta_configs", "tests"):
    assert importlib.util.find_spec(name) is None, name
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__", "build")
        shutil.copytree(ROOT / part, source / part, ignore=ignored)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_editable_install_has_all_parts(tmp_path: Path) -> None:
    # pytest-xdist puts the checkout on PYTHONPATH, where rpc is found without any install.
    check = CHECK + NOTHING_ELSE
    library = Path(_run(sys.executable, "-c", check, cwd=tmp_path, PYTHONPATH="").strip())
    assert library.name == "liblcp_tvm.so"


@ONE_WHEEL
@pytest.mark.slow
def test_wheel_holds_only_lcp_tvm(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lcp_tvm"}
    assert {
        "lcp_tvm/rpc/__init__.py",
        "lcp_tvm/relay_passes/lower_qdq.py",
        "lcp_tvm/vta_configs/pynq_z1.json",
        "lcp_tvm/examples/fashion_mnist/fashion_net.onnx",
        "lcp_tvm/examples/lcp_fashion_mnist/vgg_split2.onnx",
        "lcp_tvm/lib/liblcp_tvm.so",
        "lcp_tvm/bin/lcp-agent",
        "lcp_tvm/board/files/install.sh",
        "lcp_tvm/camera/static/app.js",
        "lcp_tvm/camera/static/index.html",
        "lcp_tvm/camera/static/style.css",
        "lcp_tvm/board/native/board/libraries.cc",
        "lcp_tvm/board/native/include/lcp_tvm/session.h",
    } <= names
    assert not {name for name in names if name.startswith("lcp_tvm/board/native/tests")}
    assert not {name for name in names if re.fullmatch("lcp_tvm/examples/.*[.]py", name)}


@ONE_WHEEL
@pytest.mark.slow
def test_installed_wheel_has_all_parts(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = ("install", "--no-deps", "--target", str(site), str(wheel))
    _run(sys.executable, "-m", "pip", *install)
    _run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env"))
    # The other packages come from here, but not this environment's editable install: the .pth
    # files of a folder on PYTHONPATH do not count.
    path = os.pathsep.join((str(site), sysconfig.get_path("purelib")))
    python = str(tmp_path / "env" / "bin" / "python")
    library = Path(_run(python, "-c", CHECK + NOTHING_ELSE, cwd=tmp_path, PYTHONPATH=path).strip())
    assert library.is_relative_to(site)
    usage = _run(python, "-c", AGENT, "--help", cwd=tmp_path, PYTHONPATH=path)
    assert usage.startswith("Usage: lcp-agent")


def _run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""Whether a node can run modules, and what it is brought."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lcp_tvm.errors import ConfigError, LcpError, PackageError, WorkerError
from lcp_tvm.manifest import Module
from lcp_tvm.package import Package
from lcp_tvm.rpc.control import PIECE_BYTES, PROTOCOL, Facts, NearNode
from lcp_tvm.rpc.loading import check_node, load
from tests.packages import a_package
from tests.rpc.fake_nodes import FakeModule

MIB = 1 << 20
BOARD = Facts("0.1.0", PROTOCOL, "pynq_z1", "x86-64-v4-vnni", 2, 0, 100 * MIB, 1)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Return a package of one module for vta:pynq_z1."""
    return a_package(tmp_path)


def check(facts: Facts, package: Package, modules: Mapping[str, Module] | None = None) -> None:
    check_node("edge-0", facts, modules or package.manifest.modules, package.plan())


def test_a_board_that_suits(package: Package) -> None:
    check(BOARD, package)
    check(replace(BOARD, config="none"), package)


@pytest.mark.parametrize(
    ("facts", "kind", "message"),
    [
        (replace(BOARD, protocol=9), WorkerError, "edge-0: it speaks version 9 of the protocol"),
        (replace(BOARD, config="ultra96"), ConfigError, "edge-0: it has the VTA ultra96, .* pynq"),
        (replace(BOARD, free_bytes=100), WorkerError, r"edge-0: it has 0.0 MiB free and needs 0.0"),
    ],
)
def test_a_board_that_does_not(
    package: Package, facts: Facts, kind: type[LcpError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        check(facts, package)


def test_a_board_with_another_processor(package: Package) -> None:
    (name,) = package.manifest.modules
    module = replace(
        package.manifest.modules[name], target="arm:rpi3", processor="cortex-a53", config=None
    )
    check(replace(BOARD, processor="aarch64"), package, {name: module})
    told = "edge-0: its processor is x86-64-v4-vnni, .* compiled for arm:rpi3 on cortex-a53"
    with pytest.raises(PackageError, match=told):
        check(BOARD, package, {name: module})


def test_a_pc_that_lacks_instructions(package: Package) -> None:
    """It is told before anything is loaded, and with the target that it could run."""
    (name,) = package.manifest.modules
    module = replace(package.manifest.modules[name], target="vta:pynq_z1", processor="x86-64-v3")
    check(replace(BOARD, processor="x86-64-v3"), package, {name: module})
    told = "compiled for vta:pynq_z1 on x86-64-v3; compile it with --target vta:pynq_z1@x86-64-v2"
    with pytest.raises(PackageError, match=told):
        check(replace(BOARD, processor="x86-64-v2"), package, {name: module})


class Holder(FakeModule):
    """A node that keeps files."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytearray] = {}

    def do_has(self, names: str) -> str:
        return json.dumps([name for name in json.loads(names) if name in self.files])

    def do_store(self, sha256: str, offset: int, size: int, piece: Any) -> None:
        data = self.files.setdefault(sha256, bytearray())
        assert len(data) == offset
        data.extend(piece)
        assert len(data) <= size


def test_files_that_a_node_has_are_not_sent_again(package: Package) -> None:
    holder = Holder()
    for _ in range(2):
        load(NearNode(holder), package, package.manifest.modules)
    (module,) = package.manifest.modules.values()
    assert module.vta is not None
    for file in (module.so, module.vta):
        assert hashlib.sha256(holder.files[file.sha256]).hexdigest() == file.sha256
    assert len(holder.called("store")) == 2
    values = {
        "name": next(iter(package.manifest.modules)),
        "functions": list(module.functions),
        "so": module.so.sha256,
        "vta": module.vta.sha256,
    }
    assert [json.loads(text) for (text,) in holder.called("load")] == [values, values]


def test_large_files_are_sent_in_pieces() -> None:
    holder = Holder()
    data = bytes(range(256)) * (PIECE_BYTES // 128) + b"end"
    assert NearNode(holder).upload({"large": data}) == len(data)
    assert bytes(holder.files["large"]) == data
    assert [len(piece) for *_, piece in holder.called("store")] == [PIECE_BYTES, PIECE_BYTES, 3]

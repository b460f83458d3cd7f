"""Packages as splits of a live camera: which can be used, and from a frame to an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.split import Split, splits_of
from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.errors import InputError
from lcp_tvm.network import Preprocess
from lcp_tvm.package import write_package
from lcp_tvm.pictures import load_input, seen_box
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from lcp_tvm.targets import parse_targets
from tests.packages import a_cpu_compiled, a_split_compiled
from tests.rpc.split_packages import small_network

NOBODY = Workers((("127.0.0.1", 1),))


def splits(folder: Path, *networks: Compiled) -> tuple[Split, ...]:
    packages = [write_package(net, folder / f"{n}.lcp") for n, net in enumerate(networks)]
    return splits_of(packages, lambda plan: NOBODY, Settings())


def test_a_split_is_named_by_its_plan(tmp_path: Path) -> None:
    found = splits(tmp_path, a_split_compiled(), a_cpu_compiled())
    assert [split.name for split in found] == ["strips:2", "one board"]
    halves, _ = found
    kinds = [halves.kind(f"edge-{number}", number) for number in range(4)]
    assert kinds == ["cpu"] * 4
    assert halves.kind("gateway", 2) == "cpu"


def test_two_packages_of_one_split_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1\.lcp: another package is split one board as well"):
        splits(tmp_path, a_cpu_compiled(), a_cpu_compiled())


def test_a_frame_does_not_wait_for_others(tmp_path: Path) -> None:
    together = compile_network(small_network(24), parse_targets("cpu"), frames=2)
    with pytest.raises(InputError, match="2 frames together; compile it without --batch-frames"):
        splits(tmp_path, together)


def test_a_network_that_takes_no_pictures(tmp_path: Path) -> None:
    network = a_cpu_compiled()
    other = replace(network.network, preprocess=Preprocess((9, 9)))
    with pytest.raises(InputError, match=r"0\.lcp: this network is not for pictures"):
        splits(tmp_path, replace(network, network=other))


def test_a_frame_is_prepared_as_a_file_is(tmp_path: Path) -> None:
    """Whether it comes from a camera or a file, the network is given the same values."""
    (split,) = splits(tmp_path, a_cpu_compiled())
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = split.prepare(Frame(0, 0.0, pixels))
    expected = load_input(tmp_path / "a.png", split.preprocess, "float32")
    np.testing.assert_array_equal(found, expected)
    assert split.seen(Frame(0, 0.0, pixels)) == seen_box(64, 48, split.preprocess)
    answer = split.read([np.array([[1.0, 3.0]], np.float32)], (0.0, 0.0, 1.0, 1.0))
    assert [guess.label for guess in answer.guesses] == ["dog", "cat"]

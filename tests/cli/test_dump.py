"""``lcp-tvm dump``: the files it writes, and inputs that are none."""

import json
from pathlib import Path

import numpy as np
import pytest

from lcp_tvm.cli.compile import compile_file
from tests.cli.refused import outcome, refused
from tests.example import CALIBRATION, MODEL, PICTURES

Capture = pytest.CaptureFixture[str]


def test_dump_with_an_input_that_is_no_picture(
    fashion_package: Path, tmp_path: Path, capfd: Capture
) -> None:
    picture = tmp_path / "a.png"
    picture.write_text("no picture")
    line = refused(capfd, "dump", fashion_package, tmp_path / "out", "--input", picture)
    assert line.startswith(f"{picture}: not a picture")
    assert not (tmp_path / "out").exists()


def test_dump_writes_what_it_says(fashion_package: Path, tmp_path: Path, capfd: Capture) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 32, 32), np.float32))
    status, out, _ = outcome(
        capfd, "dump", fashion_package, tmp_path / "out", "--input", tmp_path / "x.npy", "--json"
    )
    assert status == 0
    (dumped,) = json.loads(out)
    assert sorted(path.name for path in Path(dumped["folder"]).iterdir()) == dumped["files"]
    assert (tmp_path / "out" / "dram.after.bin").stat().st_size == dumped["dram_bytes"]


def test_a_picture_stands_for_all_that_are_computed_together(
    tmp_path: Path, capfd: Capture
) -> None:
    package, out = tmp_path / "net.lcp", tmp_path / "out"
    compile_file(MODEL, package, "vta:pynq_z1", calibrate=CALIBRATION, frames=2)
    status, _, err = outcome(capfd, "dump", package, out, "--input", PICTURES / "bag.png")
    assert (status, err) == (0, "")
    (tensor,) = json.loads((out / "program.json").read_text())["inputs"]
    frames, channels, height, width = tensor["shape"]
    assert (frames, channels <= 16) == (2, True)
    dram = np.fromfile(out / "dram.bin", np.uint8)[tensor["addr"] :]
    first, second = dram[: 2 * height * width * 16].reshape(2, -1)
    assert first.any()
    np.testing.assert_array_equal(first, second)

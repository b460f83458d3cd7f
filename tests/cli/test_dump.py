"""``lcp-tvm dump``: the files it writes, and inputs that are none."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.refused import outcome, refused

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

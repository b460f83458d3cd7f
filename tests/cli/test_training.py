"""What is said of a training, what is kept of it, and how Ctrl-C stops it."""

from __future__ import annotations

import csv
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from lcp_tvm.cli.output import ProgressBar
from lcp_tvm.cli.training import Follow
from lcp_tvm.train.curves import Point

Capture = pytest.CaptureFixture[str]
POINT = Point("lcp:2", 1, 10, 0.5, 0.5, 0.0, 0.0, 0.01, 90.0, 80.0, 2.0)


def test_a_training_from_its_beginning(tmp_path: Path, capfd: Capture) -> None:
    with ProgressBar() as progress, Follow(progress, tmp_path) as follow:
        follow.begins("lcp:2", 2, ())
        follow.stepped("lcp:2", 10, 20, {"labels": 0.5})
        follow.epoch_ended(POINT)
    assert capfd.readouterr().err == (
        "lcp:2: epoch 1 of 2, loss 0.5000, test accuracy 80.00 %, 2.0 s\n"
    )


def test_curves_have_the_epochs_of_an_earlier_run(tmp_path: Path, capfd: Capture) -> None:
    with ProgressBar() as progress, Follow(progress, tmp_path) as follow:
        follow.begins("lcp:2", 1, (POINT,), resumed=True)
        follow.begins("lcp:2+10%", 2, (replace(POINT, stage="lcp:2+10%"),), resumed=True)
        follow.epoch_ended(replace(POINT, stage="lcp:2+10%", epoch=2))
        with (tmp_path / "curves.csv").open() as file:
            found = [(row["stage"], row["epoch"]) for row in csv.DictReader(file)]
        picture = follow.draw()
    assert found == [("lcp:2", "1"), ("lcp:2+10%", "1"), ("lcp:2+10%", "2")]
    assert picture == tmp_path / "curves.png"
    assert picture.is_file()
    assert capfd.readouterr().err.splitlines()[:2] == [
        "lcp:2: trained already, test accuracy 80.00 %",
        "lcp:2+10%: resuming at epoch 2 of 2; --restart begins anew",
    ]


def test_a_training_resumes_inside_its_first_epoch(tmp_path: Path, capfd: Capture) -> None:
    with ProgressBar() as progress, Follow(progress, tmp_path) as follow:
        follow.begins("lcp:2", 2, (), resumed=True)
    assert capfd.readouterr().err == ("lcp:2: resuming at epoch 1 of 2; --restart begins anew\n")


def test_the_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with ProgressBar() as progress, Follow(progress, tmp_path) as follow:
        assert not follow.stops()
        signal.raise_signal(signal.SIGINT)
        assert follow.stops()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before

"""Curves of a training as CSV and PNG."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lcp_tvm.errors import InputError
from lcp_tvm.train.curves import Point, plot_curves, write_curves

POINTS = [
    Point(stage, epoch, 10 * epoch, 1.5, 1.0, 0.25, 0.25, 0.01, 80.0, 70 + epoch / 3, 2.0)
    for stage in ("lcp:2", "lcp:2+10%")
    for epoch in (1, 2)
]


def test_a_line_of_csv_for_each_epoch(tmp_path: Path) -> None:
    write_curves(POINTS, tmp_path / "a.csv")
    header, first, *_, last = (tmp_path / "a.csv").read_text().splitlines()
    assert header == (
        "stage,epoch,step,loss,labels,logits,features,learning_rate,train_accuracy,test_accuracy,"
        "seconds"
    )
    assert first == "lcp:2,1,10,1.5,1,0.25,0.25,0.01,80,70.3333,2"
    assert last == "lcp:2+10%,2,20,1.5,1,0.25,0.25,0.01,80,70.6667,2"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_picture(tmp_path: Path, count: int) -> None:
    plot_curves(POINTS[:count], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > picture.height > 300


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: cannot be written"):
        write_curves(POINTS, tmp_path / "no" / "a.csv")
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        plot_curves(POINTS, tmp_path / "no" / "a.png")

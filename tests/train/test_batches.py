"""The batches of a step follow from seed, epoch and step alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lcp_tvm.network import Preprocess
from lcp_tvm.pictures import load_picture
from lcp_tvm.train.batches import Augment, Batches, augment, batches_of, normalise
from lcp_tvm.train.data import Pictures
from tests.train.pictures import some_pixels

PREPROCESS = Preprocess((4, 6), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))


def batches(kind: Augment = "shift+mirror", *, seed: int = 5, count: int = 20) -> Batches:
    pictures = Pictures(some_pixels(count, 3, 4, 6), np.arange(count))
    return batches_of(pictures, PREPROCESS, 8, augment=kind, seed=seed)


def test_an_epoch_has_every_picture_once_in_even_batches() -> None:
    data = batches("none")
    parts = [data.step(0, step) for step in range(data.steps)]
    rows = torch.cat([classes for _, classes in parts])
    assert [len(classes) for _, classes in parts] == [7, 7, 6]
    assert sorted(rows.tolist()) == list(range(20))
    assert torch.equal(
        torch.cat([pixels for pixels, _ in parts]), normalise(data.pixels[rows], PREPROCESS)
    )


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    for epoch, step in ((0, 0), (3, 1)):
        first, _ = batches().step(epoch, step)
        torch.manual_seed(99)
        again, _ = batches().step(epoch, step)
        assert torch.equal(first, again)


def test_epochs_steps_and_seeds_differ() -> None:
    data = batches()
    orders = [data.order(0), data.order(1), data.order(2), batches(seed=6).order(0)]
    assert all(not torch.equal(a, b) for a, b in pairwise(orders))
    one = Pictures(np.repeat(some_pixels(1, 3, 4, 6), 20, axis=0), None)
    same = batches_of(one, PREPROCESS, 7, augment="shift", seed=5)
    assert not torch.equal(same.step(0, 0)[0], same.step(0, 1)[0])


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    batches().step(0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_values_are_those_that_run_computes(tmp_path: Path) -> None:
    pixels = some_pixels(1, 4, 6, 3)
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    found = normalise(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), PREPROCESS)
    np.testing.assert_array_equal(found.numpy(), load_picture(tmp_path / "a.png", PREPROCESS))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_plain_batches_are_in_order() -> None:
    data = batches()
    values, classes = zip(*(data.plain(step) for step in range(data.steps)), strict=True)
    assert torch.cat(classes).tolist() == list(range(20))
    assert torch.equal(torch.cat(values), normalise(data.pixels, PREPROCESS))


def test_without_labels_there_are_no_classes() -> None:
    data = batches_of(Pictures(some_pixels(20, 3, 4, 6), None), PREPROCESS, 8)
    assert data.step(0, 0)[1] is None
    assert data.plain(0)[1] is None


def moved(picture: np.ndarray, down: int, right: int, mirror: bool) -> np.ndarray:
    """A picture [C, H, W] as augmentation may show it, its edges repeated."""
    height, width = picture.shape[1:]
    padded = np.pad(picture, ((0, 0), (2, 2), (2, 2)), mode="edge")
    shown = padded[:, 2 - down : 2 - down + height, 2 - right : 2 - right + width]
    return shown[:, :, ::-1] if mirror else shown


@pytest.mark.parametrize(
    ("kind", "reach", "mirrors"),
    [("none", 0, (False,)), ("shift", 2, (False,)), ("mirror", 0, (False, True)),
     ("shift+mirror", 2, (False, True))],
)  # fmt: skip
def test_every_picture_moves_on_its_own_and_in_all_ways(
    kind: Augment, reach: int, mirrors: tuple[bool, ...]
) -> None:
    picture = some_pixels(1, 3, 4, 6)[0]
    pixels = torch.from_numpy(np.repeat(picture[None], 2000, axis=0))
    found = augment(pixels, kind, torch.Generator().manual_seed(0)).numpy()
    moves = range(-reach, reach + 1)
    allowed = {
        moved(picture, down, right, mirror).tobytes()
        for down in moves
        for right in moves
        for mirror in mirrors
    }
    assert {one.tobytes() for one in found} == allowed

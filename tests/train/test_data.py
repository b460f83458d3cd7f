"""Pictures come from folders, .npz and IDX, or a line says which file or row is wrong."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcp_tvm.errors import InputError
from lcp_tvm.pictures import load_pixels
from lcp_tvm.train import data
from lcp_tvm.train.data import Pictures, hold_out
from tests.train.pictures import (
    idx_bytes,
    network,
    read,
    some_pixels,
    write_folders,
    write_idx,
)

CLASSES = [0, 1, 2] * 4


def save(path: Path, **arrays: object) -> Path:
    """Write an .npz."""
    np.savez(path, **{name: np.asarray(values) for name, values in arrays.items()})
    return path


# Folders.


def test_folders_are_classes_in_order_of_name(tmp_path: Path) -> None:
    write_folders(tmp_path, ["ant", "bee", "cat"])
    found = read(tmp_path, network())
    assert found.pixels.shape == (12, 1, 4, 6)
    assert found.pixels[:, 0, 0, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.classes is not None
    assert found.classes.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_folders_named_after_labels_may_be_some_of_them(tmp_path: Path) -> None:
    write_folders(tmp_path, ["ant", "cat"], each=5)
    found = read(tmp_path, network(labels=["dog", "cat", "ant"]))
    assert found.classes is not None
    assert found.classes.tolist() == [2] * 5 + [1] * 5


def test_folders_named_by_number(tmp_path: Path) -> None:
    write_folders(tmp_path, ["10", "2"], each=5)
    found = read(tmp_path, network(), classes=11)
    assert found.classes is not None
    assert found.classes.tolist() == [10] * 5 + [2] * 5


def test_without_labels_any_folder_will_do(tmp_path: Path) -> None:
    write_folders(tmp_path, ["a/b", "c"], each=5)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._0.png").write_text("what macOS leaves")
    found = read(tmp_path, network(), labelled=False)
    assert (found.pixels.shape, found.classes) == ((10, 1, 4, 6), None)


def test_pictures_of_a_folder_are_those_that_run_reads(tmp_path: Path) -> None:
    for number, pixels in enumerate(some_pixels(10, 9, 7, 3)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    net = network((4, 6), "BGR")
    found = read(tmp_path, net, labelled=False)
    for number in range(10):
        expected = load_pixels(tmp_path / f"{number}.png", net.preprocess)
        np.testing.assert_array_equal(found.pixels[number][None], expected)


# Arrays.


@pytest.mark.parametrize(("pictures", "labels"), [("pictures", "labels"), ("images", "classes"),
                                                  ("x", "y"), ("x_train", "y_train")])  # fmt: skip
def test_npz(tmp_path: Path, pictures: str, labels: str) -> None:
    pixels = some_pixels(12, 4, 6)
    path = save(tmp_path / "a.npz", **{pictures: pixels, labels: CLASSES})
    found = read(path, network())
    np.testing.assert_array_equal(found.pixels[:, 0], pixels)
    assert found.classes is not None
    assert (found.classes.dtype, found.classes.tolist()) == (np.int64, CLASSES)


def test_npz_with_a_test_part(tmp_path: Path) -> None:
    train, test = some_pixels(12, 4, 6), some_pixels(15, 4, 6)
    path = save(tmp_path / "a.npz", x_train=train, x_test=test)
    assert len(read(path, network(), labelled=False)) == 12
    assert len(read(path, network(), labelled=False, part="test")) == 15


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_in_colour_compressed_in_either_order(tmp_path: Path, order: str) -> None:
    pixels = np.asarray(some_pixels(12, 4, 6, 3), order=order)  # type: ignore[call-overload]
    np.savez_compressed(tmp_path / "a.npz", pictures=pixels)
    found = read(tmp_path / "a.npz", network((4, 6), "BGR"), labelled=False)
    np.testing.assert_array_equal(found.pixels, pixels[..., ::-1].transpose(0, 3, 1, 2))


def test_one_channel_at_the_end(tmp_path: Path) -> None:
    pixels = some_pixels(12, 4, 6, 1)
    found = read(save(tmp_path / "a.npz", x=pixels), network(), labelled=False)
    np.testing.assert_array_equal(found.pixels, pixels.transpose(0, 3, 1, 2))


def test_arrays_are_resized_as_picture_files_are(tmp_path: Path) -> None:
    pixels = some_pixels(12, 9, 7)
    Image.fromarray(pixels[5]).save(tmp_path / "5.png")
    net = network((4, 6), "RGB")
    found = read(save(tmp_path / "a.npz", x=pixels), net, labelled=False)
    expected = load_pixels(tmp_path / "5.png", net.preprocess)
    np.testing.assert_array_equal(found.pixels[5][None], expected)


def test_idx_folder_has_two_parts(tmp_path: Path) -> None:
    train, test = some_pixels(12, 4, 6), some_pixels(15, 4, 6)
    write_idx(tmp_path, "train", train, CLASSES)
    write_idx(tmp_path, "t10k", test, [*CLASSES, 0, 1, 2])
    found = read(tmp_path, network())
    np.testing.assert_array_equal(found.pixels[:, 0], train)
    assert found.classes is not None
    assert found.classes.tolist() == CLASSES
    np.testing.assert_array_equal(read(tmp_path, network(), part="test").pixels[:, 0], test)


def test_one_idx_file_not_zipped(tmp_path: Path) -> None:
    pixels = some_pixels(12, 4, 6)
    path = tmp_path / "my-images-idx3-ubyte"
    path.write_bytes(idx_bytes(pixels))
    (tmp_path / "my-labels-idx1-ubyte").write_bytes(idx_bytes(np.array(CLASSES, np.uint8)))
    found = read(path, network())
    np.testing.assert_array_equal(found.pixels[:, 0], pixels)
    assert found.classes is not None
    assert found.classes.tolist() == CLASSES


def test_without_labels_no_file_of_labels_is_opened(tmp_path: Path) -> None:
    images = write_idx(tmp_path, "train", some_pixels(12, 4, 6), None)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_text("not a file that could be read")
    assert read(images, network(), labelled=False).classes is None
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=[object()])
    assert read(path, network(), labelled=False).classes is None


# What is wrong with data, and where.


def refusal(path: Path, **options: object) -> str:
    """The message, whose folder is replaced by a dot."""
    with pytest.raises(InputError) as error:
        read(path, network(labels=["ant", "bee", "cat"]), **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(path.parent), ".")


def test_no_such_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.npz") == "./no.npz: no such folder or file"


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1, 2")
    assert refusal(tmp_path / "a.csv") == (
        "./a.csv: neither a folder of pictures nor an .npz nor *-images-idx3-ubyte[.gz]"
    )


def test_preprocessing_of_another_size(tmp_path: Path) -> None:
    net = network((4, 6))
    object.__setattr__(net, "input_shape", (1, 3, 4, 6))
    with pytest.raises(InputError, match=r"makes pictures \[1, 4, 6\], the network takes \[3, 4"):
        read(tmp_path, net)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_picture_that_does_not_decode(tmp_path: Path, labelled: bool) -> None:
    folder = write_folders(tmp_path / "data", ["ant", "bee", "cat"])
    Image.fromarray(some_pixels(1, 40, 60)[0]).save(folder / "bee" / "2.png")
    whole = (folder / "bee" / "2.png").read_bytes()
    (folder / "bee" / "2.png").write_bytes(whole[: len(whole) // 2])
    assert refusal(folder, labelled=labelled).startswith("./data/bee/2.png: a damaged picture (")
    (folder / "bee" / "2.png").write_text("no picture at all")
    assert refusal(folder, labelled=labelled) == (
        "./data/bee/2.png: not a picture; PNG, JPEG and the like can be read"
    )


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures are not left out in silence."""
    inner = tmp_path / "inner"
    inner.mkdir()
    scandir = os.scandir

    def closed(path: str) -> object:
        if Path(path) == inner:
            raise PermissionError(errno.EACCES, "Permission denied", str(inner))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert refusal(inner, labelled=False) == "./inner: cannot be read (Permission denied)"


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert refusal(tmp_path / "data", labelled=False).startswith("./data: no pictures in this fold")
    assert refusal(tmp_path / "data").startswith("./data: no folder for each class in it")


def test_an_empty_class(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", ["ant", "bee"])
    (folder / "cat").mkdir()
    assert refusal(folder).startswith("./data/cat: no pictures in this folder")


def test_a_folder_that_is_no_label(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", ["ant", "bee", "dog"])
    assert refusal(folder) == "./data/dog: no label of the network; those are ant, bee, cat"


def test_folders_of_too_few_classes(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", ["x", "y"])
    assert refusal(folder) == (
        "./data: has folders of 2 classes, the network tells 3 apart; name them after its labels, "
        "or 0 to 2"
    )


def test_a_folder_whose_number_is_out_of_range(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", ["1", "3"], each=6)
    assert refusal(folder) == (
        "./data/3: no class of the network; the network tells 3 classes apart, 0 to 2"
    )


@pytest.mark.parametrize("wrong", [3, -1, 2**63])
def test_a_label_out_of_range(tmp_path: Path, wrong: int) -> None:
    labels = np.array([*CLASSES[:7], wrong, *CLASSES[8:]], np.int64 if wrong < 9 else np.uint64)
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=labels)
    assert refusal(path) == (
        f"./a.npz: labels: row 7 is {wrong}; the network tells 3 classes apart, 0 to 2"
    )


def test_a_label_out_of_range_in_idx(tmp_path: Path) -> None:
    images = write_idx(tmp_path, "train", some_pixels(12, 4, 6), [*CLASSES[:11], 200])
    assert refusal(images) == (
        "./train-labels-idx1-ubyte.gz: row 11 is 200; the network tells 3 classes apart, 0 to 2"
    )


def test_one_class_only(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=[1] * 12)
    assert refusal(path) == (
        "./a.npz: all 12 pictures are of class bee; give pictures of every class"
    )


def test_too_few_pictures(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(9, 4, 6))
    assert refusal(path, labelled=False) == "./a.npz: 9 pictures; at least 10 are needed"


def test_too_few_of_a_class(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=[0] * 11 + [2])
    assert refusal(path) == "./a.npz: 1 picture of class cat; at least 2 of each are needed"


def test_labels_that_are_missing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6))
    assert refusal(path) == "./a.npz: has no array labels or classes or y or y_train; found x"
    images = write_idx(tmp_path, "train", some_pixels(12, 4, 6), None)
    assert refusal(images) == (
        "./train-images-idx3-ubyte.gz: no labels beside it; train-labels-idx1-ubyte[.gz] is missing"
    )


def test_another_count_of_labels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=CLASSES[:11])
    assert refusal(path) == "./a.npz: labels: 11 labels for 12 pictures"
    images = write_idx(tmp_path, "train", some_pixels(12, 4, 6), [*CLASSES, 0])
    assert refusal(images) == "./train-labels-idx1-ubyte.gz: 13 labels for 12 pictures"


@pytest.mark.parametrize("labels", [np.ones(12), np.ones((12, 3), np.int64)])
def test_labels_that_are_no_numbers_of_classes(tmp_path: Path, labels: object) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6), y=labels)
    assert "expected integers [N], the number of each class" in refusal(path)


def test_pictures_of_several_sizes(tmp_path: Path) -> None:
    pictures = np.array([np.zeros((4, 6)), np.zeros((5, 6))], object)
    assert refusal(save(tmp_path / "a.npz", x=pictures), labelled=False) == (
        "./a.npz: x: holds Python objects, as numpy makes of pictures of several sizes; bring "
        "them to one size and save uint8"
    )


def test_pictures_that_are_not_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6) / np.float32(255))
    assert refusal(path, labelled=False) == (
        "./a.npz: pictures are float32; give uint8 0..255 as a camera does, the network's own "
        "preprocessing is applied here"
    )


@pytest.mark.parametrize("shape", [(24,), (3, 4, 6), (4, 6, 2), (0, 6)])
def test_arrays_that_are_no_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(tmp_path / "a.npz", x=some_pixels(12, *shape))
    assert str([12, *shape]) in refusal(path, labelled=False)


def test_more_pictures_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MAX_BYTES", 12 * 4 * 6 - 1)
    path = save(tmp_path / "a.npz", x=some_pixels(12, 4, 6))
    assert "12 pictures of [1, 4, 6] take 0.0 GiB" in refusal(path, labelled=False)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(gzip.compress(b"x"))
    assert refusal(tmp_path / "a.npz").startswith("./a.npz: not an .npz that can be read (")


# Holding out.


def test_the_same_share_of_every_class_is_held_out() -> None:
    classes = np.repeat([0, 1, 2], [100, 40, 2])
    pixels = np.arange(142, dtype=np.uint8).reshape(-1, 1, 1, 1)
    train, test = hold_out(Pictures(pixels, classes), 0.1, seed=3)
    assert test.classes is not None
    assert np.bincount(test.classes).tolist() == [10, 4, 1]
    assert sorted([*train.pixels.ravel(), *test.pixels.ravel()]) == list(range(142))
    for part in (train, test):
        np.testing.assert_array_equal(part.classes, classes[part.pixels.ravel()])


def test_what_is_held_out_depends_on_the_seed() -> None:
    pictures = Pictures(some_pixels(50, 1, 4, 6), None)
    first, again, other = (hold_out(pictures, 0.2, seed)[1].pixels for seed in (1, 1, 2))
    assert len(first) == 10
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()

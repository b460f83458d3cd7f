"""Pictures, calibration data, preprocessing and labels come from files, or fail with one line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcp_tvm import pictures
from lcp_tvm.errors import InputError
from lcp_tvm.network import Preprocess
from lcp_tvm.pictures import (
    load_calibration,
    load_input,
    load_picture,
    picture_pixels,
    read_labels,
    read_preprocess,
    seen_box,
)
from lcp_tvm.preprocess import preprocess_from, preprocess_to

FASHION = Path(__file__).parents[1] / "examples" / "fashion_mnist"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def write(path: Path, pixels: object, mode: str | None = None) -> Path:
    """Write rows of pixels as a picture."""
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(path)
    return path


def test_values_are_scaled_then_normalised_per_channel(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", [[RED, (51, 102, 153)]])
    preprocess = Preprocess(size=(1, 2), mean=(0.5, 0.25, 0), std=(0.5, 1, 2))
    expected = [[[[1, -0.6]], [[-0.25, 0.15]], [[0, 0.3]]]]  # [1, 3, 1, 2]
    found = load_picture(path, preprocess)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pixels_are_what_values_are_made_of(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", [[RED, (51, 102, 153)]])
    preprocess = Preprocess(size=(1, 2), mean=(0.5, 0.25, 0), std=(0.5, 1, 2))
    pixels = load_input(path, preprocess, "uint8")
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[[[255, 51]], [[0, 102]], [[0, 153]]]]
    values = load_input(path, preprocess, "float32")
    np.testing.assert_array_equal(values, load_picture(path, preprocess))


def test_channel_orders(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", [[(10, 20, 30)]])
    plain = {"size": (1, 1), "scale": 1.0}
    rgb = load_picture(path, Preprocess(**plain, channels="RGB"))
    bgr = load_picture(path, Preprocess(**plain, channels="BGR"))
    grey = load_picture(path, Preprocess(**plain, channels="L"))
    assert rgb.ravel().tolist() == [10, 20, 30]
    assert bgr.ravel().tolist() == [30, 20, 10]
    assert grey.shape == (1, 1, 1, 1)
    assert grey.item() == 18  # 0.299 R + 0.587 G + 0.114 B


def test_a_grey_picture_feeds_a_colour_network(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", [[7]])
    assert load_picture(path, Preprocess(size=(1, 1), scale=1.0)).ravel().tolist() == [7, 7, 7]


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)).save(path)
    found = load_picture(path, Preprocess(size=(1, 3), scale=1.0, channels="L"))
    assert found.ravel().tolist() == [0, 100, 255]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", [[(10, 20, 30, 0)]])
    found = load_picture(path, Preprocess(size=(1, 1), scale=1.0))
    assert found.ravel().tolist() == [10, 20, 30]


def test_a_photo_taken_sideways_is_turned(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[RED, GREEN]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    picture.save(tmp_path / "a.png", exif=exif)
    found = load_picture(tmp_path / "a.png", Preprocess(size=(2, 1), scale=1.0))
    assert found[0, :, :, 0].T.tolist() == [list(RED), list(GREEN)]


def test_squash_takes_the_whole_picture_and_crop_its_middle(tmp_path: Path) -> None:
    # 64 high, 128 wide: red, then green in the middle half, then blue
    row = [RED] * 32 + [GREEN] * 64 + [BLUE] * 32
    path = write(tmp_path / "a.png", [row] * 64)
    squashed = load_picture(path, Preprocess(size=(16, 16), resize="squash"))
    cropped = load_picture(path, Preprocess(size=(16, 16), resize="crop"))
    assert squashed.shape == cropped.shape == (1, 3, 16, 16)
    assert squashed[0, 0, :, 0].min() == 1  # red at the left
    assert cropped[0, 1].min() == 1  # green all over


def test_crop_of_a_square_leaves_a_margin_of_an_eighth(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[4:60, 4:60] = WHITE
    path = write(tmp_path / "a.png", pixels)
    found = load_picture(path, Preprocess(size=(56, 56), resize="crop"))
    assert found.min() == 1


def test_the_box_that_a_network_sees_is_what_it_is_given() -> None:
    """A ramp from 0 to 1: its first and last values say where the box begins and ends."""
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    preprocess = Preprocess(size=(224, 224), resize="crop", channels="L")
    seen = picture_pixels(Image.fromarray(ramp), preprocess) / 255
    left, top, right, bottom = seen_box(640, 480, preprocess)
    assert (left, right) == pytest.approx((seen.min(), seen.max()), abs=0.01)
    assert (right - left) * 640 == pytest.approx((bottom - top) * 480, abs=2)
    assert (top, bottom) == pytest.approx((1 / 16, 15 / 16), abs=0.01)


def test_a_network_of_squashed_pictures_sees_all_of_them() -> None:
    assert seen_box(640, 480, Preprocess(size=(224, 224))) == (0, 0, 1, 1)


def test_a_padded_picture_keeps_its_shape_and_is_black_below() -> None:
    """100 wide, 50 high: half of a square; the network sees it twice as high as it is."""
    white = Image.fromarray(np.full((50, 100, 3), 255, np.uint8))
    preprocess = Preprocess(size=(32, 32), resize="pad")
    found = picture_pixels(white, preprocess)
    assert found[:, :16].min() == 255
    assert found[:, 16:].max() == 0
    assert seen_box(100, 50, preprocess) == (0, 0, 1, 2)


@pytest.mark.parametrize(("width", "height"), [(1, 5000), (5000, 1), (7, 3), (33, 32)])
def test_pad_reaches_its_size_from_any(width: int, height: int) -> None:
    preprocess = Preprocess(size=(16, 24), resize="pad")
    found = picture_pixels(Image.new("RGB", (width, height), "white"), preprocess)
    assert found.shape == (3, 16, 24)
    _, _, right, bottom = seen_box(width, height, preprocess)
    rows, columns = found[0].any(axis=1).sum(), found[0].any(axis=0).sum()
    assert (rows, columns) == pytest.approx((16 / bottom, 24 / right))


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1)])
def test_crop_reaches_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.full((20, 30, 3), 255))
    found = load_picture(path, Preprocess(size=size, resize="crop"))
    assert found.shape == (1, 3, *size)
    assert found.min() == 1  # no border of nothing


def test_every_bundled_picture_loads() -> None:
    preprocess = read_preprocess(FASHION / "preprocess.toml")
    labels = read_labels(FASHION / "labels.txt")
    files = sorted((FASHION / "pictures").iterdir())
    assert sorted(labels) == [file.stem for file in files]
    for file in files:
        assert load_picture(file, preprocess).shape == (1, 1, 32, 32)


def picture_error(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_picture(path, Preprocess(size=(8, 8)))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    text = tmp_path / "a.png"
    text.write_text("not a picture\n" * 100)
    assert "not a picture; PNG, JPEG and the like" in picture_error(text)
    text.write_bytes(b"")
    assert "not a picture" in picture_error(text)
    assert "no such picture" in picture_error(tmp_path / "absent.png")
    assert "not a file" in picture_error(tmp_path)


def test_a_jpeg_whose_facts_are_of_another_type(tmp_path: Path) -> None:
    """SMinSampleValue (340), a number, is a text; Pillow stumbles where it turns the picture."""
    text = struct.pack(">HHII", 340, 2, 9, 38)
    turned = struct.pack(">HHIHH", 274, 3, 1, 6, 0)
    header = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2)
    exif = header + text + turned + bytes(4) + b"hi there\0\0"
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    assert "a damaged picture" in picture_error(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tif", ".webp"])
def test_truncated_pictures(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    write(path, noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "a damaged picture" in picture_error(path) or "not a picture" in picture_error(path)


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (400, 300)).save(path)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 400 * 300 - 1)
    assert "400x300 pixels, at most 119999 are read" in picture_error(path)
    Image.new("1", (20_000, 20_000)).save(path)  # Pillow itself refuses this one
    monkeypatch.undo()
    assert "at most 100000000 are read" in picture_error(path)


def test_calibration_from_a_folder_is_in_order_of_name(tmp_path: Path) -> None:
    for name, value in (("b.png", 2), ("a.PNG", 1), ("c.jpeg", 255)):
        write(tmp_path / name, np.full((4, 4), value))
    (tmp_path / "notes.txt").write_text("not read")
    preprocess = Preprocess(size=(4, 4), scale=1.0, channels="L")
    found = load_calibration(tmp_path, preprocess, (1, 1, 4, 4))
    assert found.shape == (3, 1, 4, 4)
    assert found[:, 0, 0, 0].tolist() == [1, 2, 255]


def test_the_bundled_calibration_set() -> None:
    preprocess = read_preprocess(FASHION / "preprocess.toml")
    found = load_calibration(FASHION / "calibration", preprocess, (1, 1, 32, 32))
    assert found.shape == (64, 1, 32, 32)
    assert 0.2 < found[:, :, 2:30, 2:30].std() < 2  # about 1: normalised


def test_calibration_from_an_npz(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((5, 3, 4, 4))
    path = tmp_path / "c.npz"
    np.savez(path, images=values)  # float64 is narrowed
    found = load_calibration(path, Preprocess(size=(4, 4)), (1, 3, 4, 4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"a": np.zeros((2, 3, 4, 5), np.float32)},
         "found float32 [2, 3, 4, 5], expected float32 [N, 3, 4, 4]"),
        ({"a": np.zeros((3, 4, 4), np.float32)}, "found float32 [3, 4, 4], expected"),
        ({"a": np.zeros((2, 3, 4, 4), np.uint8)},
         "found uint8 [2, 3, 4, 4], expected float32 [N, 3, 4, 4] after preprocessing"),
        ({"a": np.zeros((0, 3, 4, 4), np.float32)}, "no input at all"),
        ({"a": np.full((2, 3, 4, 4), np.nan, np.float32)}, "input 0 has values that are not"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, "found arrays a, b, expected exactly one"),
        ({"a": np.array([{}], object)}, "not an .npz that can be read"),
        ({}, "found arrays none, expected exactly one"),
    ],
)  # fmt: skip
def test_calibration_arrays_that_do_not_fit(
    arrays: dict[str, np.ndarray], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError) as caught:
        load_calibration(path, Preprocess(size=(4, 4)), (1, 3, 4, 4))
    assert expected in str(caught.value)


def test_calibration_files_that_are_not_npz(tmp_path: Path) -> None:
    path, preprocess = tmp_path / "c.npz", Preprocess(size=(4, 4))
    for data in (b"", b"text", b"PK\x03\x04" + bytes(40)):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"not an \.npz that can be read"):
            load_calibration(path, preprocess, (1, 3, 4, 4))
    np.save(tmp_path / "c.npy", np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(InputError, match=r"not an \.npz; write it with numpy\.savez"):
        load_calibration(tmp_path / "c.npy", preprocess, (1, 3, 4, 4))
    with pytest.raises(InputError, match="no such folder or file"):
        load_calibration(tmp_path / "absent", preprocess, (1, 3, 4, 4))


def test_calibration_folders_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in this folder"):
        load_calibration(tmp_path, Preprocess(size=(4, 4)), (1, 3, 4, 4))
    write(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(InputError, match=r"makes pictures \[1, 1, 4, 4\], the network takes"):
        load_calibration(tmp_path, Preprocess(size=(4, 4), channels="L"), (1, 3, 4, 4))
    (tmp_path / "b.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"b\.png: not a picture"):
        load_calibration(tmp_path, Preprocess(size=(4, 4)), (1, 3, 4, 4))


def test_preprocessing_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('size = [10, 20]\nmean = [1, 2, 3]\nstd = 2\nscale = 1\nresize = "crop"\n')
    assert read_preprocess(path) == Preprocess(
        size=(10, 20), mean=(1.0, 2.0, 3.0), std=(2.0,), scale=1.0, resize="crop"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size = [1, 2]\nmeans = 0", "unknown key 'means'; allowed are size, mean, std"),
        ("mean = 0", "key 'size' is missing"),
        ("size = 224", r"size is 224, not \[height, width\]"),
        ("size = [0, 2]", r"size is \[0, 2\], not"),
        ("size = [1.5, 2]", "size is"),
        ("size = [true, true]", "size is"),
        ("size = [1, 2, 3]", "size is"),
        ("size = [1, 2]\nmean = 'x'", "mean is 'x', not a number"),
        ("size = [1, 2]\nmean = " + "9" * 400, "mean is 9{60}, not a number"),
        ("size = [1, 2]\nmean = " + "9" * 5000, "not TOML"),
        ("size = [1, 2]\nmean = " + "[" * 10_000, "not TOML"),
        ("size = [1, 2]\nstd = [1, nan, 1]", "std is nan, not a number"),
        ("size = [1, 2]\nscale = true", "scale is True, not a number"),
        ("size = [1, 2]\nstd = 0", "std must not be 0"),
        ("size = [1, 2]\nmean = [1, 2]", "mean has 2 entries; channels = 'RGB' needs 1 or 3"),
        ("size = [1, 2]\nchannels = 'GRAY'", "channels is 'GRAY', not 'RGB' or 'BGR' or 'L'"),
        ("size = [1, 2]\nresize = 'fit'", "resize is 'fit', not 'squash' or 'crop' or 'pad'"),
        ("size = [", "not TOML"),
    ],
)
def test_preprocessing_that_is_wrong(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as caught:
        read_preprocess(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_preprocessing_survives_a_round_trip() -> None:
    preprocess = Preprocess(size=(3, 4), mean=(1.0, 2.0, 3.0), std=(0.5,), channels="BGR")
    assert preprocess_from(preprocess_to(preprocess), "here") == preprocess


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("tench, Tinca\nköttbulle \n\n")
    assert read_labels(path) == ("tench, Tinca", "köttbulle")
    path.write_text("a\n\nb\n")
    with pytest.raises(InputError, match="line 2 is empty"):
        read_labels(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="no labels in it"):
        read_labels(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_labels(path)
    for reader in (read_labels, read_preprocess):
        with pytest.raises(InputError, match="cannot be read"):
            reader(tmp_path / "absent")

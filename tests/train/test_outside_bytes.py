"""IDX and .npz are someone else's bytes: whatever they say, they are read or refused in bounds."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import InputError
from lcp_tvm.train.idx import read_idx
from lcp_tvm.train.inflate import FREE_BYTES, MAX_RATIO, read_exactly
from lcp_tvm.train.npz import read_npz
from tests.train.pictures import idx_bytes, some_pixels

PIXELS = some_pixels(3, 4, 6)
FUZZ = settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def npz_bytes(compressed: bool) -> bytes:
    """An .npz with the array "x"."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, x=PIXELS)
    return file.getvalue()


VALID = {
    "a-images-idx3-ubyte": idx_bytes(PIXELS),
    "a-images-idx3-ubyte.gz": gzip.compress(idx_bytes(PIXELS), mtime=0),
    "plain.npz": npz_bytes(False),
    "compressed.npz": npz_bytes(True),
}


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        return read_npz(path, [("x",)])[0]
    return read_idx(path, 3)


def read_or_refuse(path: Path) -> np.ndarray | None:
    """Whatever is in a file: its array, or None after a message that names the file."""
    try:
        return read(path)
    except InputError as error:
        if not str(error).startswith(str(path)):
            raise
        return None


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    """Assert that a block takes no more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", VALID)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(VALID[name])
    np.testing.assert_array_equal(read(tmp_path / name), PIXELS)


@FUZZ
@given(name=st.sampled_from(sorted(VALID)), data=st.data())
def test_damage_is_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Some bytes differ, some are gone, some came in."""
    damaged = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        gone = data.draw(st.sampled_from([0, 1, 1, 4, 10_000]))
        damaged[at : at + gone] = data.draw(st.binary(max_size=4))
    path = tmp_path / name
    path.write_bytes(damaged)
    with little_memory(1 << 21):
        read_or_refuse(path)


@pytest.mark.parametrize("name", VALID)
def test_files_that_end_early_are_refused(tmp_path: Path, name: str) -> None:
    valid, path = VALID[name], tmp_path / name
    for length in range(len(valid)):
        path.write_bytes(valid[:length])
        assert read_or_refuse(path) is None


@pytest.mark.parametrize("name", VALID)
def test_a_bit_of_every_byte(tmp_path: Path, name: str) -> None:
    valid, path = VALID[name], tmp_path / name
    for at in range(len(valid)):
        flipped = bytearray(valid)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        read_or_refuse(path)


@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 3, (1 << 20, 1 << 10, 1), (60_000, 28, 28)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_header_that_lies(tmp_path: Path, sizes: tuple[int, ...], suffix: str) -> None:
    path = tmp_path / f"a-images-idx3-ubyte{suffix}"
    lie = bytes((0, 0, 8, 3)) + struct.pack(">3I", *sizes) + PIXELS.tobytes()
    path.write_bytes(gzip.compress(lie) if suffix else lie)
    with little_memory(4 << 20), pytest.raises(InputError, match=r"header promises|ends after 72"):
        read(path)


@pytest.mark.parametrize("shape", ["(99999, 99999, 9999)", "(0, 9999999999, 9999999999, 9999999)",
                                   "(60000, 28, 28)", "(3, 4, 5)"])  # fmt: skip
def test_an_npz_header_that_lies(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + PIXELS.tobytes()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", array)
    with little_memory(4 << 20), pytest.raises(InputError, match=r"a\.npz: "):
        read(tmp_path / "a.npz")


def test_an_npz_that_inflates_without_end(tmp_path: Path) -> None:
    """A kilobyte for every megabyte, as deflate can."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((FREE_BYTES + 1, 1, 1), np.uint8))
    assert (tmp_path / "a.npz").stat().st_size * MAX_RATIO < FREE_BYTES
    with little_memory(4 << 20), pytest.raises(InputError, match="its header promises 67,108,865"):
        read(tmp_path / "a.npz")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return pytest.fail, ("a pickle was loaded",)

    np.savez(tmp_path / "a.npz", x=np.array([Trap()], object))
    with pytest.raises(InputError, match="holds Python objects"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", ["<U3", "<M8[s]", "|S2", "<c8", "|V3"])
def test_arrays_of_no_numbers(tmp_path: Path, dtype: str) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(4, dtype))
    with pytest.raises(InputError, match="not numbers"):
        read(tmp_path / "a.npz")


def test_records_are_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(4, [("a", "u1")]))
    with pytest.raises(InputError, match=r"x: not an array that numpy\.savez wrote"):
        read(tmp_path / "a.npz")


def test_a_stream_must_end_where_it_is_said_to() -> None:
    assert read_exactly(io.BytesIO(b"abc"), 3, 3, "s") == b"abc"
    with pytest.raises(InputError, match="s: ends after 3 of 4 bytes"):
        read_exactly(io.BytesIO(b"abc"), 4, 3, "s")
    with pytest.raises(InputError, match="s: has more than the 2 bytes"):
        read_exactly(io.BytesIO(b"abc"), 2, 3, "s")

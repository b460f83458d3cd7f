"""Memory of calls: lent to one at a time, kept for the next."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import tvm_ffi

from lcp_tvm import native

ALIGNMENT = 64
# More than malloc has idle, so that it comes from the system and goes back at once (mallopt(3),
# M_MMAP_THRESHOLD); what is reused of smaller pieces is as it was left. Few pages are touched.
FROM_THE_SYSTEM = 1 << 30


@pytest.fixture(autouse=True)
def none_is_idle() -> Iterator[None]:
    native.load()
    gc.collect()  # what other tests have left may hold some
    keep(False)
    keep(True)
    yield
    keep(True)


def keep(value: bool) -> None:
    tvm_ffi.get_global_func("lcp_tvm.KeepWorkspaces")(value)


def workspace(size: int) -> tvm_ffi.Tensor:
    return tvm_ffi.get_global_func("lcp_tvm.Workspace")(size)


def part(
    whole: tvm_ffi.Tensor, begin: int, shape: tuple[int, ...], dtype: str = "float32"
) -> tvm_ffi.Tensor:
    arguments = whole, begin, tvm_ffi.Shape(shape), tvm_ffi.dtype(dtype)
    return tvm_ffi.get_global_func("lcp_tvm.WorkspaceMap")(*arguments)


def array(tensor: tvm_ffi.Tensor) -> npt.NDArray[np.generic]:
    return np.from_dlpack(tensor)


def address(tensor: tvm_ffi.Tensor) -> int:
    return array(tensor).ctypes.data


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 1 << 24])
def test_it_begins_where_code_expects_it(size: int) -> None:
    one = workspace(size)
    assert array(one).nbytes == size
    assert address(one) % ALIGNMENT == 0


def test_the_next_call_finds_it() -> None:
    one = workspace(1 << 20)
    first = address(one)
    array(one)[:] = 7
    del one
    smaller = workspace(1 << 10)
    assert address(smaller) == first
    assert (array(smaller) == 7).all()


def test_calls_at_a_time_have_their_own() -> None:
    sizes = [1000 * (number + 1) for number in range(8)]

    def call(number: int) -> bool:
        whole = workspace(sizes[number])
        for _ in range(200):
            array(whole)[:] = number
            if (array(whole) != number).any():
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(8)))


def test_the_smallest_that_fits_is_taken() -> None:
    places = {}
    for size in (3000, 1000, 2000):
        places[size] = workspace(size)
    addresses = {size: address(one) for size, one in places.items()}
    places.clear()
    assert address(workspace(1500)) == addresses[2000]
    assert address(workspace(1000)) == addresses[1000]
    assert address(workspace(2500)) == addresses[3000]


def test_a_map_is_a_part_of_it_and_keeps_it() -> None:
    whole = workspace(4096)
    values = part(whole, 128, (2, 3, 4))
    assert address(values) == address(whole) + 128
    array(values)[:] = 1.5
    del whole
    assert address(workspace(4096)) != address(values) - 128
    assert (array(values) == 1.5).all()


@pytest.mark.parametrize(
    ("begin", "shape", "dtype"),
    [(0, (1025,), "float32"), (64, (1024,), "float32"), (-64, (1,), "int8"),
     (4096, (1,), "int8"), (2**62, (1,), "int8"), (0, (-1,), "int8")],
)  # fmt: skip
def test_a_map_outside_is_refused(begin: int, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match="of a workspace of 4096"):
        part(workspace(4096), begin, shape, dtype)


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        workspace(-1)
    with pytest.raises(RuntimeError, match="there was no memory for"):
        workspace(1 << 60)


def test_where_memory_is_short_nothing_is_kept() -> None:
    one = workspace(FROM_THE_SYSTEM)
    keep(False)
    array(one)[:4096] = 7
    del one
    assert not (array(workspace(FROM_THE_SYSTEM))[:4096] == 7).any()

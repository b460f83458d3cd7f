"""MXNet's files, in every version, damaged and hostile: an array, or a clear error."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcp_tvm.errors import InputError
from lcp_tvm.frontend.mxnet_params import MAX_ARRAYS, parse_params, read_params
from lcp_tvm.frontend.mxnet_symbol import parse_symbol, read_symbol
from tests.frontend.mxnet_weights import NO_STORAGE, NUMPY_SHAPES, STORAGE, params_file

ARRAYS = {
    "arg:weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "aux:mean": np.array([1.5], np.float64),
    "arg:half": np.array([[1, 2]], np.float16),
    "arg:bytes": np.array([0, 255], np.uint8),
    "arg:wide": np.array([-1], np.int64),
}
FILE = params_file(ARRAYS)
SYMBOL = json.dumps(
    {
        "nodes": [
            {"op": "null", "name": "data", "inputs": []},
            {"op": "relu", "name": "y", "inputs": [[0, 0, 0]], "attrs": {"a": "(1, 2)"}},
        ],
        "heads": [[1, 0, 0]],
    }
).encode()


@pytest.mark.parametrize("version", [0, NO_STORAGE, STORAGE, NUMPY_SHAPES])
def test_every_version_gives_its_arrays(version: int) -> None:
    found = parse_params(params_file(ARRAYS, version))
    assert list(found) == ["weight", "mean", "half", "bytes", "wide"]
    for array, expected in zip(found.values(), ARRAYS.values(), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("storage", "indices", "kind"), [(1, 1, "row_sparse"), (2, 2, "csr")], ids=["rows", "csr"]
)
def test_sparse_arrays_are_refused_by_name(storage: int, indices: int, kind: str) -> None:
    array = struct.pack("<Ii", STORAGE, storage)
    array += struct.pack("<iqq", 2, 1, 4) + struct.pack("<iqq", 2, 3, 4)  # stored, whole
    array += struct.pack("<iii", 1, 0, 0) + indices * struct.pack("<iiq", 6, 1, 1)
    array += bytes(16) + indices * bytes(8)
    head = struct.pack("<QQQ", 0x112, 0, 1)
    data = head + array + struct.pack("<QQ", 1, 5) + b"arg:w"
    with pytest.raises(InputError, match=f"array 'arg:w' is {kind}; only dense"):
        parse_params(data)


def test_an_array_without_values_is_refused_by_name() -> None:
    empty = struct.pack("<QQQ", 0x112, 0, 1) + struct.pack("<Iii", STORAGE, 0, 0)
    with pytest.raises(InputError, match="'w' is empty; initialise"):
        parse_params(empty + struct.pack("<QQ", 1, 1) + b"w")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a .params file"),
        (b"PK" + bytes(40), "not a .params file"),
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), f"more than {MAX_ARRAYS}"),
        (struct.pack("<QQQIii", 0x112, 0, 1, STORAGE, 0, 1 << 30), "dimensions; it is damaged"),
        (struct.pack("<QQQIiiq", 0x112, 0, 1, STORAGE, 0, 1, -5), r"shape \[-5\]"),
        (
            struct.pack("<QQQIiiqqiii", 0x112, 0, 1, STORAGE, 0, 2, 1 << 40, 1 << 40, 1, 0, 0),
            "truncated",
        ),
        (
            struct.pack("<QQQIiiqqiii", 0x112, 0, 1, STORAGE, 0, 2, 0, 1 << 62, 1, 0, 0),
            r"shape \[0, 4611686018427387904\]",
        ),
        (struct.pack("<QQQIiiqiii", 0x112, 0, 1, STORAGE, 0, 1, 1, 1, 0, 99), "element type 99"),
        (struct.pack("<QQQIi", 0x112, 0, 1, STORAGE, 7), "storage type 7"),
        (params_file({"arg:w": np.ones(1), "aux:w": np.ones(1)}), "two arrays are called 'w'"),
    ],
)
def test_hostile_weights(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_params(data)


@given(st.integers(0, len(FILE) - 1))
def test_truncated_weights_are_refused(size: int) -> None:
    with pytest.raises(InputError):
        parse_params(FILE[:size])


@settings(max_examples=300)
@given(st.data())
def test_changed_weights_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_params(bytes(raw))
    except InputError:
        return
    assert sum(array.nbytes for array in found.values()) <= len(raw)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (read_params, read_symbol):
        with pytest.raises(InputError, match="nowhere: cannot be read"):
            read(tmp_path / "nowhere")


def test_a_symbol_is_its_operators() -> None:
    symbol = parse_symbol(SYMBOL)
    assert [operator.op for operator in symbol.operators] == ["null", "relu"]
    assert symbol.result == "y"
    assert symbol.operators[1].inputs == ("data",)
    assert symbol.operators[1].integers("a", ()) == (1, 2)


@pytest.mark.parametrize("key", ["attr", "param"])
def test_older_symbols_call_attributes_otherwise(key: str) -> None:
    symbol = parse_symbol(SYMBOL.replace(b"attrs", key.encode()))
    assert symbol.operators[1].integers("a", ()) == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"[]", "no nodes"),
        (b'{"nodes": [], "heads": []}', "no nodes"),
        (b'{"nodes": [1], "heads": [[0,0,0]]}', "node 0 is no object"),
        (b'{"nodes": [{"op": 1, "name": "x"}], "heads": []}', "no operator, name or inputs"),
        (SYMBOL.replace(b"[[0, 0, 0]]", b"[[1, 0, 0]]"), "no node before it"),
        (SYMBOL.replace(b"[[0, 0, 0]]", b"[[-1, 0, 0]]"), "no node before it"),
        (SYMBOL.replace(b"[[0, 0, 0]]", b"[[0, 1, 0]]"), "reads output 1"),
        (SYMBOL.replace(b'"y"', b'"data"'), "two nodes are called 'data'"),
        (SYMBOL.replace(b'"(1, 2)"', b"[1, 2]"), "attributes that are no texts"),
        (SYMBOL.replace(b"[[1, 0, 0]]", b"[[1, 0, 0], [0, 0, 0]]"), "2 results"),
    ],
)
def test_hostile_symbols(text: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_symbol(text)


@settings(max_examples=300)
@given(st.data())
def test_changed_symbols_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(SYMBOL)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        symbol = parse_symbol(bytes(raw))
    except InputError:
        return
    assert symbol.result in {operator.name for operator in symbol.operators}

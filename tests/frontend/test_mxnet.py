"""MXNet's networks: the Gluon zoo computes what MXNet does; files that are wrong are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from lcp_tvm.errors import InputError, LcpError, ModelError
from lcp_tvm.frontend.load import load_network
from lcp_tvm.frontend.mxnet import find_params, load_mxnet, to_onnx
from lcp_tvm.frontend.mxnet_params import parse_params
from lcp_tvm.frontend.mxnet_symbol import parse_symbol
from tests.frontend.mxnet_weights import params_file, picture, weights
from tests.reference import evaluate

ZOO = Path(__file__).with_name("mxnet_zoo.zip")
with zipfile.ZipFile(ZOO) as _archive:
    NETWORKS = sorted(name.removesuffix(".json") for name in _archive.namelist())


def zoo(name: str) -> dict[str, Any]:
    """What `mxnet_reference` has kept of a network."""
    with zipfile.ZipFile(ZOO) as archive:
        kept: dict[str, Any] = json.loads(archive.read(f"{name}.json"))
    return kept


def node(op: str, name: str, inputs: list[int] | None = None, **attributes: str) -> dict[str, Any]:
    sources = [[number, 0, 0] for number in inputs or []]
    return {"op": op, "name": name, "inputs": sources, "attrs": attributes}


def symbol(*nodes: dict[str, Any], **changes: Any) -> bytes:
    values = {"nodes": list(nodes), "heads": [[len(nodes) - 1, 0, 0]], **changes}
    return json.dumps(values).encode()


CONV = (
    node("null", "data"),
    node("null", "w"),
    node("Convolution", "conv", [0, 1], kernel="(3, 3)", num_filter="4", no_bias="True"),
)
WEIGHTS = {"arg:w": np.ones((4, 3, 3, 3), np.float32)}


def files(folder: Path, text: bytes, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write a symbol and its weights."""
    (folder / "net-0000.params").write_bytes(params_file(arrays))
    (folder / "net-symbol.json").write_bytes(text)
    return folder / "net-symbol.json"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_zoo_computes_what_mxnet_computes(name: str) -> None:
    kept = zoo(name)
    graph = parse_symbol(json.dumps(kept["symbol"]).encode())
    arrays = parse_params(params_file(weights(kept["shapes"])))
    model = to_onnx(graph, arrays, (kept["size"], kept["size"]))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"data": picture(kept["size"])})
    expected = np.array(kept["output"], np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_network_is_read_from_its_files(tmp_path: Path) -> None:
    """Into the same form as one of ONNX, with the same numbers."""
    kept = zoo("resnet18_v1")
    path = files(tmp_path, json.dumps(kept["symbol"]).encode(), weights(kept["shapes"]))
    preprocess = tmp_path / "net.toml"
    preprocess.write_text(f"size = [{kept['size']}, {kept['size']}]\n")
    from lcp_tvm.pictures import read_preprocess

    network = load_network(path, preprocess=read_preprocess(preprocess))
    assert network.name == "net"
    assert network.input_shape == (1, 3, kept["size"], kept["size"])
    found = evaluate(network.module, picture(kept["size"]))
    expected = np.array(kept["output"], np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_size_that_is_assumed_is_said(tmp_path: Path) -> None:
    network = load_mxnet(files(tmp_path, symbol(*CONV), WEIGHTS))
    assert network.input_shape == (1, 3, 224, 224)
    assert "assuming 224x224" in network.messages[0]


def test_the_weights_of_the_last_epoch_are_taken(tmp_path: Path) -> None:
    path = files(tmp_path, symbol(*CONV), WEIGHTS)
    for name in ("net-0009.params", "net-0010.params", "other-0099.params"):
        (tmp_path / name).touch()
    assert find_params(path).name == "net-0010.params"


def test_missing_weights_say_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "net-symbol.json").write_bytes(symbol(*CONV))
    with pytest.raises(InputError, match=r"no net-0000\.params beside it; .*--params FILE"):
        load_mxnet(tmp_path / "net-symbol.json")


def test_weights_of_another_network_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found 2 inputs \('data', 'w'\).*belong together"):
        load_mxnet(files(tmp_path, symbol(*CONV), {"arg:v": np.ones(3, np.float32)}))


def test_params_go_with_a_symbol(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no -symbol\.json of MXNet"):
        load_network(tmp_path / "net.onnx", params=tmp_path / "net.params")


def test_an_unknown_operator_is_named() -> None:
    graph = parse_symbol(symbol(*CONV, node("Crop", "cut", [2])))
    with pytest.raises(ModelError, match="operator Crop at node 'cut' is not supported"):
        to_onnx(graph, {"w": WEIGHTS["arg:w"]}, (8, 8))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"kernel": "(3,)"}, "only 2 dimensions"),
        ({"kernel": "(3, 3)", "layout": "NHWC"}, "layout NCHW"),
        ({"kernel": "3 by 3"}, "kernel is '3 by 3', not a list of numbers"),
    ],
)
def test_what_a_convolution_may_not_be(attributes: dict[str, str], message: str) -> None:
    graph = parse_symbol(symbol(*CONV[:2], node("Convolution", "conv", [0, 1], **attributes)))
    with pytest.raises(LcpError, match=message):
        to_onnx(graph, {"w": WEIGHTS["arg:w"]}, (8, 8))


def test_a_loss_and_its_label_are_left_out() -> None:
    graph = parse_symbol(
        symbol(
            *CONV,
            node("null", "softmax_label"),
            node("SoftmaxOutput", "softmax", [2, 3]),
        )
    )
    model = to_onnx(graph, {"w": WEIGHTS["arg:w"]}, (8, 8))
    assert [made.op_type for made in model.graph.node] == ["Conv", "Softmax"]


def test_fixed_gammas_are_one() -> None:
    """BatchNorm's default, whatever the file has for them."""
    names = ("gamma", "beta", "mean", "var")
    nodes = [node("null", "data"), *(node("null", name) for name in names)]
    arrays = {name: np.full(3, 2, np.float32) for name in names}
    x = picture(4)
    for attributes, gamma in (({}, 1.0), ({"fix_gamma": "False", "eps": "0.001"}, 2.0)):
        norm = node("BatchNorm", "norm", [0, 1, 2, 3, 4], **attributes)
        model = to_onnx(parse_symbol(symbol(*nodes, norm)), arrays, (4, 4))
        (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"data": x})
        expected = gamma * (x - 2) / np.sqrt(2 + 1e-3) + 2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_ceil_pooling_keeps_the_last_window() -> None:
    kernel = {"kernel": "(3, 3)", "stride": "(2, 2)", "pooling_convention": "full"}
    for kind in ("max", "avg"):
        pool = node("Pooling", "pool", [2], pool_type=kind, **kernel)
        graph = parse_symbol(symbol(*CONV, pool))
        model = to_onnx(graph, {"w": WEIGHTS["arg:w"]}, (8, 8))
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (found,) = session.run(None, {"data": np.ones((1, 3, 8, 8), np.float32)})
        assert found.shape == (1, 4, 3, 3)
        np.testing.assert_array_equal(found, 27)


@pytest.mark.parametrize(("groups", "channels"), [(1, 3), (2, 6)])
def test_the_first_layer_says_how_many_channels_the_input_has(groups: int, channels: int) -> None:
    first = node("Convolution", "conv", [0, 1], kernel="(3, 3)", no_bias="True")
    first["attrs"]["num_group"] = str(groups)
    model = to_onnx(parse_symbol(symbol(*CONV[:2], first)), {"w": WEIGHTS["arg:w"]}, (8, 8))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, channels, 8, 8]


def test_a_dense_layer_does_not_say_how_many_channels_the_input_has() -> None:
    dense = node("FullyConnected", "dense", [0, 1], num_hidden="4", no_bias="True")
    with pytest.raises(ModelError, match="how many channels"):
        to_onnx(parse_symbol(symbol(*CONV[:2], dense)), {"w": np.ones((4, 192))}, (8, 8))

"""Live Gluon blocks, against MXNet itself; ``make mxnet-check`` has an environment for them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import lcp_tvm
from lcp_tvm.errors import InputError
from lcp_tvm.frontend.gluon import INPUT, import_mxnet, take_apart
from lcp_tvm.frontend.load import load_networks
from lcp_tvm.frontend.mxnet import to_onnx
from lcp_tvm.network import Preprocess
from tests.frontend.mxnet_weights import picture
from tests.reference import evaluate

live = pytest.mark.skipif(find_spec("mxnet") is None, reason="MXNet is not installed")

ZOO = {
    "alexnet": 67,
    "densenet121": 224,
    "inceptionv3": 299,
    "mobilenet0.25": 64,
    "mobilenetv2_0.25": 64,
    "resnet18_v1": 32,
    "resnet50_v1": 32,
    "resnet18_v2": 32,
    "resnet50_v2": 32,
    "squeezenet1.0": 224,
    "squeezenet1.1": 224,
    "vgg11": 32,
    "vgg11_bn": 32,
}
"""Networks, and a small size of picture that they take."""


def trained(name: str, size: int) -> Any:
    """A network of the zoo after two steps of training, so that batch norm has seen something."""
    mxnet = import_mxnet()
    from mxnet.gluon.model_zoo import vision

    mxnet.random.seed(0)
    block = vision.get_model(name, classes=10)
    block.initialize(mxnet.init.Xavier())
    trainer = mxnet.gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 1e-4})
    loss = mxnet.gluon.loss.SoftmaxCrossEntropyLoss()
    x = mxnet.nd.array(np.concatenate([picture(size), -picture(size)]))
    for _ in range(2):
        with mxnet.autograd.record():
            value = loss(block(x), mxnet.nd.array([1, 2]))
        value.backward()
        trainer.step(2)
    return block


def assert_close(found: np.ndarray, block: Any, x: np.ndarray) -> None:
    expected = block(import_mxnet().nd.array(x)).asnumpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@live
@pytest.mark.parametrize(("name", "size"), ZOO.items(), ids=list(ZOO))
def test_a_block_of_the_zoo_computes_the_same(name: str, size: int) -> None:
    block, x = trained(name, size), picture(size)
    symbol, arrays = take_apart(block, x.shape)
    session = onnxruntime.InferenceSession(to_onnx(symbol, arrays, x.shape[2:]).SerializeToString())
    (found,) = session.run(None, {INPUT: x})
    assert_close(found, block, x)


@live
def test_a_block_becomes_a_network() -> None:
    block, x = trained("resnet18_v1", 32), picture(32)
    network = lcp_tvm.from_gluon(block, x.shape)
    assert network.name == block.name
    assert network.input_shape == x.shape
    assert_close(evaluate(network.module, x), block, x)


@live
def test_a_block_of_dense_layers_knows_its_channels_from_the_shape() -> None:
    mxnet = import_mxnet()
    block, x = mxnet.gluon.nn.Dense(4), picture(4)
    block.initialize()
    assert lcp_tvm.from_gluon(block, x.shape).input_shape == x.shape


@live
def test_the_block_stays_as_it_is() -> None:
    block = trained("resnet18_v1", 32)
    before = {name: value.data().asnumpy() for name, value in block.collect_params().items()}
    take_apart(block, (1, 3, 32, 32))
    assert not block._active  # not hybridised
    for name, value in block.collect_params().items():
        np.testing.assert_array_equal(value.data().asnumpy(), before[name])


@live
def test_what_cannot_be_taken_is_said_in_one_line() -> None:
    mxnet = import_mxnet()
    block = mxnet.gluon.nn.Conv2D(4, 3, in_channels=3)
    with pytest.raises(InputError, match=r"'conv.*weight' has not been initialized"):
        take_apart(block, (1, 3, 8, 8))
    block.initialize()
    with pytest.raises(InputError, match=r"cannot take \(1, 4, 8, 8\): .*inconsistent"):
        take_apart(block, (1, 4, 8, 8))
    with pytest.raises(InputError, match=r"one picture, \(1, C, H, W\)"):
        take_apart(block, (2, 3, 8, 8))
    with pytest.raises(InputError, match="Block is no HybridBlock"):
        take_apart(mxnet.gluon.Block(), (1, 3, 8, 8))


@live
def test_branches_that_gluon_exports_are_one_network(tmp_path: Path) -> None:
    """Two halves of ResNet-18 v1 without their dense layer, as Capella kept them."""
    mxnet = import_mxnet()
    from mxnet.gluon.model_zoo.vision import BasicBlockV1, ResNetV1

    x = picture(32)
    pooled, paths = [], []
    for number in (0, 1):
        features = ResNetV1(BasicBlockV1, [2, 2, 2, 2], [8, 8, 16, 32, 64]).features
        features.initialize()
        features.hybridize()
        pooled.append(features(mxnet.nd.array(x)))
        features.export(str(tmp_path / f"branch{number}"))
        paths.append(tmp_path / f"branch{number}-symbol.json")
    dense = mxnet.gluon.nn.Dense(10)
    dense.initialize()
    expected = dense(mxnet.nd.concat(*pooled, dim=1)).asnumpy()
    dense.save_parameters(str(tmp_path / "dense.params"))
    preprocess = Preprocess(size=(32, 32))
    network = load_networks(paths, head=tmp_path / "dense.params", preprocess=preprocess)
    found = evaluate(network.module, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@live
def test_numpy_has_its_old_names_only_while_mxnet_is_imported() -> None:
    import_mxnet()
    assert not {"bool", "int", "float", "object", "complex", "str"} & vars(np).keys()


@pytest.mark.skipif(find_spec("mxnet") is not None, reason="MXNet is installed")
def test_without_mxnet_it_is_said_how_to_install_it() -> None:
    with pytest.raises(InputError, match=r"pip install 'lcp-tvm\[mxnet\]'"):
        lcp_tvm.from_gluon(None, (1, 3, 8, 8))
    assert "int" not in vars(np)

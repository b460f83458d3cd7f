"""Norms that change nothing until they are trained, and training from scratch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.quantise.flow import quantise
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from tests.frontend.models import random_input
from tests.quantise.float_builder import Floats, small_residual
from tests.quantise.float_builder import network as network_of

torch = pytest.importorskip("torch")

from lcp_tvm.train import batches  # noqa: E402
from lcp_tvm.train.norms import add_norms, he_deviation, lcp_deviation, reset  # noqa: E402
from lcp_tvm.train.torch_network import to_relax, to_torch  # noqa: E402

LAYERS = ["stem", "deep", "narrow", "wide", "dense"]


@pytest.fixture
def module() -> tvm.IRModule:
    return Floats(1, 3, 8, 8).build(small_residual)


@pytest.fixture
def pictures() -> Any:
    return torch.from_numpy(3 * random_input((300, 3, 8, 8)) + 1)


def test_every_layer_but_the_last_gets_a_norm(module: tvm.IRModule, pictures: Any) -> None:
    network = to_torch(module)
    add_norms(network, pictures)
    assert [name for name, layer in network.layers.items() if layer.norm] == LAYERS[:-1]


def test_in_inference_norms_change_nothing(module: tvm.IRModule, pictures: Any) -> None:
    network = to_torch(module)
    before = network(pictures)
    add_norms(network, pictures)
    assert network.training  # as it was
    network.eval()
    torch.testing.assert_close(network(pictures), before, rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_all_pictures(module: tvm.IRModule, pictures: Any) -> None:
    """So a batch of them all, while training, gives what inference gives."""
    network = to_torch(module)
    before = network(pictures)
    add_norms(network, pictures)
    torch.testing.assert_close(network(pictures), before, rtol=1e-4, atol=1e-4)
    products = torch.nn.functional.conv2d(pictures, network.layers["stem"].weight, padding=1)
    norm = network.layers["stem"].norm
    torch.testing.assert_close(norm.mean, products.mean((0, 2, 3)))


def test_a_channel_that_is_always_zero_stays_finite(module: tvm.IRModule, pictures: Any) -> None:
    network = to_torch(module)
    with torch.no_grad():
        network.layers["stem"].weight[2] = 0
    add_norms(network, pictures)
    network(pictures).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_all_parameters_learn(module: tvm.IRModule, pictures: Any) -> None:
    """Those of norms too; they are in the state that a checkpoint holds."""
    network = to_torch(module)
    add_norms(network, pictures)
    network(pictures).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())
    names = [name for name in network.state_dict() if name.startswith("stem:")]
    assert names == [
        "stem:.weight", "stem:.bias",
        "stem:.norm.gamma", "stem:.norm.mean", "stem:.norm.variance",
    ]  # fmt: skip


def test_the_relax_form_has_no_norms(module: tvm.IRModule, pictures: Any) -> None:
    network = to_torch(module)
    add_norms(network, pictures)
    back = to_torch(to_relax(module, network))
    assert not any(layer.norm for layer in back.layers.values())
    torch.testing.assert_close(back(pictures), network.eval()(pictures), rtol=1e-5, atol=1e-5)


def test_branches_have_norms_of_their_own(pictures: Any) -> None:
    def plain(floats: Floats) -> Any:
        x = floats.relu(floats.conv(floats.x, 8, 3, "first"))
        return floats.conv(x, 5, 8, "last")

    network = to_torch(split_lcp_network(Floats(1, 3, 8, 8).build(plain), 2).module)
    add_norms(network, pictures)
    normed = {name: layer.norm for name, layer in network.layers.items() if layer.norm}
    assert list(normed) == ["b0_first", "b1_first"]
    assert not torch.equal(normed["b0_first"].mean, normed["b1_first"].mean)


def test_training_from_scratch_begins_as_lcp_says(module: tvm.IRModule, pictures: Any) -> None:
    """Section 4.1: normal weights of deviation 4e-2, biases 0."""
    network = to_torch(module)
    add_norms(network, pictures)
    reset(network, 3, pictures)
    assert network.layers["deep"].weight.std().item() == pytest.approx(4e-2, rel=0.2)
    for layer in network.layers.values():
        assert not layer.bias.any()
        if layer.norm is not None:
            assert torch.all(layer.norm.gamma == 1)


def test_norms_from_scratch_have_the_statistics_of_pictures(
    module: tvm.IRModule, pictures: Any
) -> None:
    """So that what is measured after few steps is what was trained."""
    network = to_torch(module)
    add_norms(network, pictures)
    reset(network, 3, pictures[:100])
    statistics = {name: layer.norm.momentum for name, layer in network.layers.items() if layer.norm}
    assert set(statistics.values()) == {0.1}
    with torch.no_grad():
        trained = network.train()(pictures[:100])
        measured = network.eval()(pictures[:100])
    torch.testing.assert_close(measured, trained, rtol=0.02, atol=1e-3)


def test_norms_from_scratch_of_pictures_too_large_to_be_computed_together(
    pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dense layer has no variance over one of them."""
    monkeypatch.setattr(batches, "VALUES_AT_ONCE", 1)

    def body(f: Floats) -> Any:
        h = f.relu(
            f.emit(R.matmul(f.emit(R.reshape(f.x, (1, 192))), relax.const(f.normal(192, 4))))
        )
        return f.emit(R.matmul(h, relax.const(f.normal(4, 2))))

    network = to_torch(Floats(1, 3, 8, 8).build(body))
    add_norms(network, pictures[:4])
    reset(network, 3, pictures[:4])
    assert all(layer.norm.variance.min() > 0 for layer in network.layers.values() if layer.norm)


def test_the_seed_alone_says_where_training_begins(module: tvm.IRModule) -> None:
    def weights(seed: int) -> Any:
        network = to_torch(module)
        torch.rand(seed)  # nobody else's numbers count
        reset(network, seed, torch.zeros(1, 3, 8, 8))
        return network.layers["wide"].weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_slopes_begin_anew_too() -> None:
    slopes = relax.const([0.5, 0.125, 2.0], "float32")
    network = to_torch(Floats(1, 3, 4, 4).build(lambda floats: R.nn.prelu(floats.x, slopes)))
    reset(network, 3, torch.zeros(1, 3, 4, 4))
    (prelu,) = network.slopes.values()
    assert prelu.weight.tolist() == [0.25] * 3


def test_int8_layers_take_no_norms(module: tvm.IRModule, pictures: Any) -> None:
    quantised = quantise(network_of(module), pictures[:4].numpy()).module
    with pytest.raises(ValueError, match="int8 layers take no norms"):
        add_norms(to_torch(quantised), pictures)


def transposed(floats: Floats) -> Any:
    weight = relax.const(floats.normal(4, 5, 3, 3))
    return floats.emit(R.nn.conv2d_transpose(floats.x, weight, groups=2), "transposed")


def test_deviations_count_the_products_of_an_output(module: tvm.IRModule) -> None:
    layers = to_torch(module).layers
    found = {name: round(2 / he_deviation(layer) ** 2) for name, layer in layers.items()}
    assert found == {"stem": 27, "deep": 9, "narrow": 8, "wide": 8, "dense": 16}
    (layer,) = to_torch(Floats(1, 4, 5, 5).build(transposed)).layers.values()
    assert he_deviation(layer) == math.sqrt(2 / (2 * 9))
    assert lcp_deviation(layer) == 0.04

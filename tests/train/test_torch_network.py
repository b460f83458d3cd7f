"""Networks in torch: outputs and gradients, and the way back to Relax."""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tvm
from tvm import relax
from tvm.relax import op as R

from examples.lcp_fashion_mnist.networks import NETWORKS, build
from lcp_tvm.errors import ModelError
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import network_of
from lcp_tvm.quantise.flow import quantise
from lcp_tvm.quantise.graph import with_biases
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.lower_qdq import lower_qdq
from tests.frontend.models import random_input
from tests.networks import (
    decoder,
    efficientnet_lite0,
    mobilenet,
    resnet18,
)
from tests.quantise.float_builder import Floats, network, pictures, small_residual
from tests.relay_passes.qdq_builder import Qdq
from tests.train.float_modules import one_by_one

torch = pytest.importorskip("torch")

from lcp_tvm.train import fingerprint  # noqa: E402
from lcp_tvm.train.norms import add_norms  # noqa: E402
from lcp_tvm.train.torch_network import to_relax, to_torch  # noqa: E402
from tests.train.onnx_in_torch import OnnxInTorch  # noqa: E402

SHAPE = (2, 1, 28, 28)
BRANCHES = (1, 2, 4, 8)


@cache
def example(name: str) -> onnx.ModelProto:
    return build(name, seed=1)


@cache
def module_of(name: str, branches: int) -> tvm.IRModule:
    copied = onnx.ModelProto.FromString(example(name).SerializeToString())
    module = network_of(copied, Path(name)).module
    return module if branches == 1 else split_lcp_network(module, branches).module


def closely(found: Any, expected: Any, within: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=within, atol=within)


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_onnxruntime(name: str, branches: int) -> None:
    module, x = module_of(name, branches), random_input(SHAPE)
    found = to_torch(module)(torch.from_numpy(x)).detach().numpy()
    closely(found, one_by_one(module, x))


def test_scores_are_what_a_last_softmax_reads() -> None:
    """Losses have a softmax of their own; one of another axis, or inside, is the network's."""

    def ends_with(*axes: int) -> Any:
        def body(f: Floats) -> Any:
            h = f.emit(R.reshape(f.conv(f.x, 2, 3, "conv"), (1, 128)))
            h = f.emit(R.matmul(h, relax.const(f.normal(128, 5))), "scores")
            for axis in axes:
                h = f.emit(R.nn.softmax(h, axis))
            return h

        return to_torch(Floats(1, 1, 8, 8).build(body))

    x = torch.from_numpy(random_input((3, 1, 8, 8)))
    plain = ends_with()(x)
    for net in (ends_with(), ends_with(1), ends_with(-1)):
        torch.testing.assert_close(net.values(x, [])[""], plain)
    torch.testing.assert_close(ends_with(1)(x), plain.softmax(1))
    torch.testing.assert_close(ends_with(1, 1).values(x, [])[""], plain.softmax(1))


def test_values_live_until_their_last_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a network takes the memory of its widest place, not of all."""
    living: list[int] = []

    def body(f: Floats) -> Any:
        h = f.x
        for _ in range(20):
            h = f.relu(h)
        return h

    network = to_torch(Floats(1, 1, 8, 8).build(body))
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def relu(x: Any) -> Any:
        made = x.clone()
        alive.add(made)
        living.append(len(alive))
        return made

    network._steps = [replace(step, compute=relu) for step in network._steps]
    network(torch.zeros(2, 1, 8, 8))
    assert len(living) == 20
    assert max(living) == 2


def test_networks_of_equal_numbers_are_told_apart_by_operators() -> None:
    def body(activation: Any) -> Any:
        return lambda f: f.emit(activation(f.conv(f.x, 2, 3, "conv")), "active")

    nets = [
        to_torch(Floats(1, 1, 8, 8).build(body(activation)))
        for activation in (R.nn.relu, R.nn.relu, R.tanh, lambda x: R.nn.leakyrelu(x, 0.1),
                           lambda x: R.nn.leakyrelu(x, 0.2), lambda x: R.clip(x, 0, 1),
                           lambda x: R.clip(x, 0, 6))
    ]  # fmt: skip
    prints = [fingerprint.of_network(net) for net in nets]
    assert prints[0] == prints[1]
    assert len(set(prints[1:])) == len(prints) - 1


@pytest.mark.parametrize(
    ("make", "size"),
    [(resnet18, 64), (mobilenet, 64), (efficientnet_lite0, 64), (decoder, 16)],
)
def test_other_networks_compute_the_same_too(make: Any, size: int) -> None:
    whole = network_of(make(size), Path("model"))
    x = random_input((2, *whole.input_shape[1:]))
    found = to_torch(whole.module)(torch.from_numpy(x)).detach().numpy()
    closely(found, one_by_one(whole.module, x))


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_a_model_made_another_way(name: str, branches: int) -> None:
    """In float64, of the input, all weights and all biases."""
    module = module_of(name, branches)
    ours = to_torch(module).double()
    proto = example(name) if branches == 1 else to_onnx(with_biases(module))
    theirs = OnnxInTorch(proto, torch.float64)
    x = torch.from_numpy(random_input(SHAPE)).double()
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    for model, leaf in zip((ours, theirs), inputs, strict=True):
        model(leaf).square().sum().backward()
    closely(inputs[0].grad, inputs[1].grad, 1e-9)
    layers = ours.layers.values()
    gradients = [*(layer.weight.grad for layer in layers), *(layer.bias.grad for layer in layers)]
    for found, expected in zip(gradients, theirs.gradients(), strict=True):
        assert np.any(expected)
        closely(found, expected.reshape(found.shape), 1e-9)


@pytest.mark.parametrize("branches", [1, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_untrained_network_comes_back_bit_by_bit(name: str, branches: int) -> None:
    module = with_biases(module_of(name, branches))
    tvm.ir.assert_structural_equal(to_relax(module, to_torch(module)), module, map_free_vars=True)


def layers_of_all_kinds(floats: Floats) -> Any:
    """Depthwise, grouped and transposed convolutions, PReLU, a bias for all, none, and a dense."""
    x = floats.relu(floats.conv(floats.x, 8, 3, "grouped", groups=2))
    x = floats.conv(x, 8, 3, "depthwise", groups=8)
    x = floats.emit(R.nn.prelu(x, relax.const(floats.normal(8))), "prelu")
    weight = relax.const(floats.normal(8, 3, 3, 3))
    x = floats.emit(R.nn.conv2d_transpose(x, weight, strides=(2, 2), groups=2), "transposed")
    x = floats.emit(R.add(relax.const(np.float32(0.5)), x), "all_alike")
    x = floats.emit(R.nn.conv2d(x, relax.const(floats.normal(5, 6, 3, 3)), padding=(1, 0)), "bare")
    x = floats.emit(R.mean(R.tanh(x), [2, 3]), "pooled")
    return floats.emit(R.matmul(x, relax.const(floats.normal(5, 3))), "dense")


@pytest.fixture
def all_kinds() -> tvm.IRModule:
    return Floats(1, 4, 5, 5).build(layers_of_all_kinds)


def shake(torch_network: Any) -> None:
    """Move every parameter, as training would."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in torch_network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random)


def test_what_is_learnt_goes_back_into_relax(all_kinds: tvm.IRModule) -> None:
    x, torch_network = random_input((3, 4, 5, 5)), to_torch(all_kinds)
    before = one_by_one(all_kinds, x)
    shake(torch_network)
    after = one_by_one(to_relax(all_kinds, torch_network), x)
    closely(after, torch_network(torch.from_numpy(x)).detach())
    assert np.abs(after - before).max() > 0.1


def test_norms_are_folded_on_the_way_back(all_kinds: tvm.IRModule) -> None:
    x, torch_network = torch.from_numpy(random_input((64, 4, 5, 5))), to_torch(all_kinds)
    add_norms(torch_network, x)
    shake(torch_network)
    torch_network.train()
    torch_network(x)  # moves the norms' statistics
    torch_network.eval()
    after = one_by_one(to_relax(all_kinds, torch_network), x[:3].numpy())
    closely(after, torch_network(x[:3]).detach())


def test_parameters_are_named_after_variables(all_kinds: tvm.IRModule) -> None:
    torch_network = to_torch(all_kinds)
    assert list(torch_network.layers) == ["grouped", "depthwise", "transposed", "bare", "dense"]
    assert list(torch_network.slopes) == ["prelu"]
    assert list(torch_network.state_dict()) == [
        "grouped:.weight", "grouped:.bias", "depthwise:.weight", "depthwise:.bias",
        "transposed:.weight", "transposed:.bias", "bare:.weight", "bare:.bias",
        "dense:.weight", "dense:.bias", "prelu:.weight",
    ]  # fmt: skip


def test_a_variable_may_be_called_like_a_method_of_torch() -> None:
    module = Floats(1, 2, 4, 4).build(lambda floats: floats.conv(floats.x, 3, 3, "forward"))
    assert list(to_torch(module).layers) == ["forward"]


def test_values_of_variables_come_with_the_result() -> None:
    module, x = module_of("resnet", 2), torch.from_numpy(random_input(SHAPE))
    torch_network = to_torch(module)
    values = torch_network.values(x, ["b1_block3_add_relu", "b0_stem_conv2d", "b0_stem"])
    assert torch.equal(values[""], torch_network(x))
    assert values["b1_block3_add_relu"].shape == (2, 64, 4, 4)
    assert torch.equal(values["b0_stem_conv2d"], values["b0_stem"])  # a product stands for its sum
    with pytest.raises(ModelError, match="computes no 'stem'"):
        torch_network.values(x, ["stem"])


def test_copies_learn_alone() -> None:
    torch_network, x = to_torch(module_of("lenet", 1)), torch.from_numpy(random_input(SHAPE))
    copied = copy.deepcopy(torch_network)
    before = torch_network(x)
    shake(copied)
    assert torch.equal(torch_network(x), before)
    assert not torch.equal(copied(x), before)
    torch_network.load_state_dict(copied.state_dict())
    assert torch.equal(torch_network(x), copied(x))


def test_memory_format_changes_no_answer_and_bf16_little() -> None:
    module, x = module_of("resnet", 2), torch.from_numpy(random_input(SHAPE))
    plain = to_torch(module)(x)
    last = to_torch(module).to(memory_format=torch.channels_last)
    closely(last(x.to(memory_format=torch.channels_last)).detach(), plain.detach())
    with torch.autocast("cpu", torch.bfloat16):
        half = last(x)
    assert half.dtype == torch.bfloat16
    assert (half - plain).abs().max() < 0.05 * plain.abs().max()


def test_a_network_of_several_results_is_refused() -> None:
    module = Floats(1, 2, 4, 4).build(lambda floats: relax.Tuple([floats.x, R.exp(floats.x)]))
    with pytest.raises(ModelError, match="several results"):
        to_torch(module)


@cache
def quantised(name: str) -> tvm.IRModule:
    copied = onnx.ModelProto.FromString(example(name).SerializeToString())
    whole = network_of(copied, Path(name))
    return quantise(whole, random_input((4, 1, 28, 28), seed=1)).module


@pytest.mark.parametrize("name", NETWORKS)
def test_quantised_networks_compute_the_same_bits(name: str) -> None:
    module, x = quantised(name), random_input(SHAPE)
    torch_network = to_torch(module)
    np.testing.assert_array_equal(
        torch_network(torch.from_numpy(x)).detach(), one_by_one(module, x)
    )
    tvm.ir.assert_structural_equal(to_relax(module, torch_network), module, map_free_vars=True)


def test_quantised_networks_of_all_operators() -> None:
    module = quantise(
        network(Floats(1, 3, 8, 8).build(small_residual)), pictures(8, 3, 8, 8)
    ).module
    x, torch_network = random_input((5, 3, 8, 8)), to_torch(module)
    closely(torch_network(torch.from_numpy(x)).detach(), one_by_one(module, x))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_quantised_network_learns_is_int8_again(name: str) -> None:
    module, x = quantised(name), random_input(SHAPE)
    torch_network = to_torch(module)
    shake(torch_network)
    back = to_relax(module, torch_network)
    np.testing.assert_array_equal(torch_network(torch.from_numpy(x)).detach(), one_by_one(back, x))
    assert not np.array_equal(one_by_one(back, x), one_by_one(module, x))
    lower_qdq(back)  # what compiling does with it: every bias lies on its products' grid
    tvm.ir.assert_structural_equal(to_relax(back, to_torch(back)), back, map_free_vars=True)


def quantised_layer(qdq: Qdq, bias: Any) -> Any:
    """Weights and data of 4 and 3 fraction bits: products have 7."""
    x = qdq.quantise(qdq.x, 3)
    x = qdq.emit(R.nn.max_pool2d(x, (2, 2), (2, 2)))
    weight = qdq.weight(np.full((1, 1, 1, 1), 5, np.int8), 4)
    return qdq.emit(R.add(qdq.emit(R.nn.conv2d(x, weight), "conv"), bias(qdq)), "sum")


FLOAT_BIAS = np.full((1, 1, 1, 1), 0.25, np.float32)
BIASES = {
    "float32": lambda qdq: relax.const(FLOAT_BIAS),
    "int32": lambda qdq: qdq.weight(np.full((1, 1, 1, 1), 32, np.int32), 7),
}


@pytest.mark.parametrize("kind", BIASES)
def test_biases_lie_on_the_grid_of_products(kind: str) -> None:
    """Behind a pool too: its numbers are those of what it reads."""
    module = Qdq(1, 1, 2, 2).build(lambda qdq: quantised_layer(qdq, BIASES[kind]))
    torch_network = to_torch(module)
    layer = torch_network.layers["conv"]
    zeros = torch.zeros(1, 1, 2, 2)
    assert torch_network(zeros).item() == 0.25
    with torch.no_grad():
        layer.bias += 0.3 * 2.0**-7
    assert torch_network(zeros).item() == 0.25
    with torch.no_grad():
        layer.bias += 0.3 * 2.0**-7
    assert torch_network(zeros).item() == 33 * 2.0**-7
    assert one_by_one(to_relax(module, torch_network), zeros.numpy()).item() == 33 * 2.0**-7
    torch_network(zeros).backward()
    assert layer.bias.grad.item() == 1  # rounding lets it pass


def test_gradients_pass_rounding_inside_of_int8_alone() -> None:
    module = Qdq(1, 1, 1, 6).build(lambda qdq: qdq.quantise(qdq.x, 3))
    x = torch.tensor([-17.0, -16.05, -3.3, 0.0, 15.9, 16.1]).reshape(1, 1, 1, 6).requires_grad_()
    result = to_torch(module)(x)
    assert result.flatten().tolist() == [-16.0, -16.0, -3.25, 0.0, 15.875, 15.875]
    result.sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 1, 1, 0]


def test_weights_beyond_int8_are_not_pulled_farther() -> None:
    module = Qdq(1, 1, 2, 2).build(lambda qdq: quantised_layer(qdq, BIASES["float32"]))
    torch_network = to_torch(module)
    weight = torch_network.layers["conv"].weight
    with torch.no_grad():
        weight.fill_(9)  # 127 / 16 is the largest
    torch_network(torch.ones(1, 1, 2, 2)).sum().backward()
    assert weight.grad.item() == 0
    assert one_by_one(to_relax(module, torch_network), np.ones((1, 1, 2, 2), np.float32)) == (
        127 / 16 + 0.25
    )


def test_int8_weights_without_a_bias_are_refused() -> None:
    def bare(qdq: Qdq) -> Any:
        weight = qdq.weight(np.ones((1, 1, 1, 1), np.int8), 4)
        return qdq.emit(R.nn.conv2d(qdq.quantise(qdq.x, 3), weight), "conv")

    with pytest.raises(ModelError, match="conv: a layer with int8 weights needs a constant bias"):
        to_torch(Qdq(1, 1, 2, 2).build(bare))

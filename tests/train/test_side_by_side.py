"""Branches that are computed at once compute what they do one by one."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from tests.frontend.models import random_input
from tests.quantise.float_builder import Floats, small_residual

torch = pytest.importorskip("torch")

from lcp_tvm.train import torch_network  # noqa: E402
from lcp_tvm.train.norms import add_norms  # noqa: E402
from lcp_tvm.train.side_by_side import side_by_side  # noqa: E402
from lcp_tvm.train.torch_network import TorchNetwork, to_torch  # noqa: E402

SHAPE = (6, 3, 8, 8)


def branches_of(count: int) -> tvm.IRModule:
    return split_lcp_network(Floats(1, *SHAPE[1:]).build(small_residual), count).module


def one_by_one(module: tvm.IRModule) -> TorchNetwork:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_network, "side_by_side", list)
        return to_torch(module)


def steps_of(module: tvm.IRModule) -> tuple[int, int]:
    """How many steps there are one by one, and at once; parts that are taken do not count."""
    steps = one_by_one(module)._steps
    return len(steps), sum(len(step.places) == 1 for step in side_by_side(steps))


def trained(network: TorchNetwork, pictures: Any) -> dict[str, Any]:
    """All numbers of a network after a step, its gradients and outputs, in float64."""
    add_norms(network, pictures)
    network.double().train()
    made = network(pictures.double())
    made.square().mean().backward()
    gradients = {f"gradient of {name}": one.grad for name, one in network.named_parameters()}
    return {**network.state_dict(), **gradients, "outputs": made}


@pytest.mark.parametrize("count", [2, 4])
def test_a_step_of_training_comes_to_the_same(count: int) -> None:
    """Outputs, gradients, and statistics of norms."""
    module, pictures = branches_of(count), torch.from_numpy(random_input(SHAPE))
    at_once, apart = (trained(make(module), pictures) for make in (to_torch, one_by_one))
    assert at_once.keys() == apart.keys()
    for name, value in apart.items():
        torch.testing.assert_close(at_once[name], value, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("count", [2, 4])
def test_as_many_steps_as_one_branch_has(count: int) -> None:
    """From the stem to what is merged; then merge, mean, reshape, dense layer, softmax."""
    inside, behind = 8, 5
    assert steps_of(branches_of(count)) == (count * inside + behind, inside + behind)


def test_values_of_branches_are_there_by_name() -> None:
    module, pictures = branches_of(4), torch.from_numpy(random_input(SHAPE))
    names = [f"b{branch}_wide" for branch in range(4)]
    at_once, apart = (make(module).values(pictures, names) for make in (to_torch, one_by_one))
    for name in names:
        torch.testing.assert_close(at_once[name], apart[name], rtol=1e-5, atol=1e-5)


def unlike(floats: Floats, sizes: list[int], widths: list[int]) -> Any:
    """Convolutions of the same map, of any sizes and widths, each with a layer behind it."""
    made = []
    for number, (size, width) in enumerate(zip(sizes, widths, strict=True)):
        first = floats.relu(floats.conv(floats.x, width, size, f"first{number}"))
        made.append(floats.conv(first, 2 * widths[0], 1, f"second{number}"))
    merged = floats.emit(R.concat(made, 1), "merged")
    return floats.emit(R.mean(merged, [2, 3]), "means")


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from([1, 3]), st.sampled_from([2, 4])), min_size=1, max_size=5)
)
def test_whatever_branches_are_like(kinds: list[tuple[int, int]]) -> None:
    """Those that are alike are computed at once, beside those that are not."""
    sizes, widths = map(list, zip(*kinds, strict=True))
    module = Floats(1, *SHAPE[1:]).build(lambda floats: unlike(floats, sizes, widths))
    pictures = torch.from_numpy(random_input(SHAPE))
    at_once, apart = (trained(make(module), pictures) for make in (to_torch, one_by_one))
    for name, value in apart.items():
        torch.testing.assert_close(at_once[name], value, rtol=1e-9, atol=1e-9, msg=name)
    same = len(kinds) > len(set(kinds))
    found = steps_of(module)
    assert (found[1] < found[0]) == same


def test_branches_need_not_be_computed_in_order() -> None:
    """The second branch's layer and what follows it come before the first one's."""

    def turned(floats: Floats) -> Any:
        one, other = (floats.conv(floats.x, 4, 3, name) for name in ("one", "other"))
        last = [
            floats.conv(floats.relu(part), 4, 1, f"last{n}") for n, part in ((1, other), (0, one))
        ]
        return floats.emit(R.mean(floats.emit(R.concat(last, 1), "merged"), [2, 3]), "means")

    module = Floats(1, *SHAPE[1:]).build(turned)
    pictures = torch.from_numpy(random_input(SHAPE))
    at_once, apart = (make(module)(pictures) for make in (to_torch, one_by_one))
    torch.testing.assert_close(at_once, apart, rtol=1e-5, atol=1e-5)
    assert steps_of(module) == (8, 5)


def test_what_reads_two_branches_is_computed_as_it_is() -> None:
    """A sum across branches, and a value that is read inside and outside of its branch."""

    def crossed(floats: Floats) -> Any:
        one, other = (floats.conv(floats.x, 4, 3, name) for name in ("one", "other"))
        turned = floats.emit(R.subtract(other, one), "turned")
        both = floats.emit(R.add(floats.relu(one), floats.relu(other)), "both")
        return floats.emit(R.mean(R.multiply(both, turned), [2, 3]), "means")

    module = Floats(1, *SHAPE[1:]).build(crossed)
    assert isinstance(module["main"], relax.Function)
    pictures = torch.from_numpy(random_input(SHAPE))
    at_once, apart = (make(module)(pictures) for make in (to_torch, one_by_one))
    torch.testing.assert_close(at_once, apart, rtol=1e-5, atol=1e-5)

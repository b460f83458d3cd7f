"""The whole way: split, train, fatten, prune; stopped anywhere and followed again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.errors import InputError, ModelError, PlanError
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.export_file import write_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network
from lcp_tvm.quantise import quantise
from lcp_tvm.splitting import count_branches
from lcp_tvm.train.accuracy import accuracy
from lcp_tvm.train.flow import Recipe, Trained, train_network
from lcp_tvm.train.int8 import integer_network
from lcp_tvm.train.settings import Settings
from lcp_tvm.train.torch_network import to_torch
from lcp_tvm.train.watch import TrainingStoppedError, Watch
from tests.quantise.float_builder import Floats
from tests.train.tiny import PREPROCESS, bars

SETTINGS = Settings(epochs=3, batch=32, learning_rate=0.02)
TRAINING, TEST = bars(300, 1), bars(200, 2)
UNLABELLED = bars(300, 1, labelled=False), bars(200, 2, labelled=False)


def untrained() -> Network:
    """A convolution of 8 channels, a dense layer of 12, and the classes."""

    def body(f: Floats) -> Any:
        h = f.emit(R.nn.max_pool2d(f.relu(f.conv(f.x, 8, 3, "conv")), [2, 2], [2, 2]))
        h = f.emit(R.reshape(h, (1, 128)))
        h = f.relu(f.emit(R.matmul(h, relax.const(f.normal(128, 12))), "dense"), "features")
        return f.emit(R.matmul(h, relax.const(f.normal(12, 2))), "scores")

    return Network("tiny", Floats(1, 1, 8, 8).build(body), "x", (1, 1, 8, 8), PREPROCESS)


def trained() -> Network:
    recipe = Recipe(branches=None, labels=True)
    return train_network(untrained(), recipe, TRAINING, TEST, SETTINGS).network


def names(result: Trained) -> list[str]:
    return [stage.name for stage in result.stages]


def model(result: Trained) -> bytes:
    return bytes(to_onnx(result.network.module).SerializeToString())


def test_an_unsplit_network_is_trained() -> None:
    recipe = Recipe(branches=None, labels=True)
    result = train_network(untrained(), recipe, TRAINING, TEST, SETTINGS)
    assert names(result) == ["original", "train"]
    assert result.stages[0].accuracy < 75
    assert result.stages[1].accuracy >= 90
    assert [point.epoch for point in result.history] == [1, 2, 3]
    assert TEST.classes is not None
    again = accuracy(to_torch(result.network.module), TEST, PREPROCESS, TEST.classes)
    assert again == pytest.approx(result.stages[1].accuracy, abs=0.5)


@pytest.mark.parametrize("labels", [True, False])
def test_branches_are_trained_until_the_accuracy_is_back(labels: bool) -> None:
    data = (TRAINING, TEST) if labels else UNLABELLED
    recipe = Recipe(branches=2, labels=labels, max_drop=8)
    result = train_network(trained(), recipe, *data, replace(SETTINGS, epochs=6))
    assert names(result) == ["original", "lcp:2"]
    assert result.stages[0].accuracy - result.stages[1].accuracy <= 8
    assert result.stages[1].parameters < 0.6 * result.stages[0].parameters
    assert result.stages[1].macs == 2 * (4 * 9 * 64 + 64 * 6) + 12 * 2
    assert count_branches(result.network) == 2


def test_answers_are_softened_as_much_as_one_likes() -> None:
    settings = replace(SETTINGS, epochs=1)
    network, recipe = trained(), Recipe(branches=2, max_drop=100)
    losses = {
        degrees: train_network(
            network, replace(recipe, temperature=degrees), *UNLABELLED, settings
        ).history[0].logits
        for degrees in (1.0, 4.0)
    }  # fmt: skip
    again = train_network(network, recipe, *UNLABELLED, settings)
    assert again.history[0].logits == losses[4.0] != losses[1.0]


def test_branches_are_fattened_while_too_much_is_lost() -> None:
    """Widths 4 and 6 of a branch: 10 % changes one of them, 20 % none more, 30 % both."""
    recipe = Recipe(branches=2, labels=True, max_drop=-100, max_fatten=30)
    settings = replace(SETTINGS, epochs=1)
    result = train_network(untrained(), recipe, TRAINING, TEST, settings)
    assert names(result) == ["original", "lcp:2", "lcp:2+10%", "lcp:2+20%", "lcp:2+30%"]
    sizes = [stage.parameters for stage in result.stages[1:]]
    assert sizes == sorted(set(sizes))


def test_a_given_fattening_is_the_only_one() -> None:
    recipe = Recipe(branches=2, labels=True, max_drop=-100, fatten=25)
    settings = replace(SETTINGS, epochs=1)
    result = train_network(untrained(), recipe, TRAINING, TEST, settings)
    assert names(result) == ["original", "lcp:2+25%"]


def test_branches_are_pruned_and_trained_again() -> None:
    recipe = Recipe(branches=2, max_drop=100, prune=0.45)
    result = train_network(trained(), recipe, *UNLABELLED, SETTINGS)
    assert names(result) == ["original", "lcp:2", "pruned 45 %"]
    assert result.stages[2].parameters < 0.7 * result.stages[1].parameters
    assert count_branches(result.network) == 2
    assert min(point.features for point in result.history) > 0


def test_pruning_keeps_what_was_learnt_from_scratch() -> None:
    recipe = Recipe(branches=2, labels=True, max_drop=100, from_scratch=True, prune=0.2)
    result = train_network(untrained(), recipe, TRAINING, TEST, SETTINGS)
    assert names(result) == ["original", "lcp:2", "pruned 20 %"]
    first, pruned = (result.history[row].labels for row in (0, 3))
    assert pruned < first


def test_branches_become_int8_and_are_measured_so(tmp_path: Path) -> None:
    recipe = Recipe(branches=2, labels=True, max_drop=100, prune=0.45, qat=True)
    result = train_network(trained(), recipe, TRAINING, TEST, SETTINGS)
    assert names(result) == ["original", "lcp:2", "pruned 45 %", "int8"]
    assert result.stages[3].macs == result.stages[2].macs
    assert result.stages[3].accuracy > result.stages[2].accuracy - 5
    write_onnx(result.network, tmp_path / "net.onnx")
    read = load_onnx(tmp_path / "net.onnx").module
    assert TEST.classes is not None
    again = accuracy(integer_network(read), TEST, PREPROCESS, TEST.classes)
    assert again == result.stages[3].accuracy
    assert count_branches(result.network) == 2


def test_a_trained_network_becomes_int8_without_labels() -> None:
    """It is taken as it is; no stage comes before."""
    recipe = Recipe(branches=None, qat=True)
    result = train_network(trained(), recipe, *UNLABELLED, SETTINGS)
    assert names(result) == ["original", "int8"]
    assert result.stages[1].accuracy > 90
    assert {point.features for point in result.history} == {0}


def test_what_is_lost_beyond_the_bound_is_said() -> None:
    recipe = Recipe(branches=2, labels=True, max_drop=0, fatten=0)
    settings = replace(SETTINGS, epochs=1, learning_rate=1e-6)
    result = train_network(trained(), recipe, TRAINING, TEST, settings)
    assert re.fullmatch(
        r"[0-9.]+ points of accuracy are lost, more than the 0 allowed; .*",
        result.network.messages[-1],
    )
    enough = train_network(trained(), replace(recipe, max_drop=100), TRAINING, TEST, settings)
    assert enough.network.messages == ()


def test_a_quantised_network_is_trained_but_not_pruned_or_quantised_again() -> None:
    settings = replace(SETTINGS, epochs=1)
    recipe = Recipe(branches=None, labels=True)
    module = quantise(trained(), np.zeros((1, 1, 8, 8), np.float32)).module
    quantised = replace(untrained(), module=module)
    assert names(train_network(quantised, recipe, TRAINING, TEST, settings)) == [
        "original", "train"
    ]  # fmt: skip
    for again in (replace(recipe, qat=True), replace(recipe, prune=0.45)):
        with pytest.raises(InputError, match="tiny is quantised already; give the float model"):
            train_network(quantised, again, TRAINING, TEST, settings)


def test_a_network_that_has_its_branches_is_trained_as_it_is() -> None:
    recipe = Recipe(branches=2, labels=True)
    settings = replace(SETTINGS, epochs=1)
    split = train_network(untrained(), recipe, TRAINING, TEST, settings).network
    result = train_network(split, recipe, TRAINING, TEST, settings)
    assert names(result) == ["original", "train"]
    assert count_branches(result.network) == 2
    with pytest.raises(PlanError, match="the model has 2 branches already"):
        train_network(split, replace(recipe, branches=4), TRAINING, TEST, settings)


def test_a_teacher_of_another_form_teaches_its_answers() -> None:
    def body(f: Floats) -> Any:
        h = f.emit(R.reshape(f.relu(f.conv(f.x, 3, 3, "conv")), (1, 192)))
        return f.emit(R.matmul(h, relax.const(f.normal(192, 2))), "scores")

    other = Network("other", Floats(1, 1, 8, 8).build(body), "x", (1, 1, 8, 8), PREPROCESS)
    recipe = Recipe(branches=2, max_drop=100)
    settings = replace(SETTINGS, epochs=1)
    result = train_network(trained(), recipe, *UNLABELLED, settings, teacher=other)
    assert result.history[0].logits > 0
    assert result.history[0].features == 0


def test_a_teacher_sees_the_same_pictures_and_has_the_same_labels() -> None:
    recipe, settings = Recipe(branches=2, labels=True), replace(SETTINGS, epochs=1)
    named = replace(untrained(), labels=("upright", "lying"))
    others = {
        "the teacher wants other pictures": replace(
            named, preprocess=replace(PREPROCESS, mean=(0.1,))
        ),
        "the teacher's labels are others": replace(named, labels=("lying", "upright")),
    }
    for message, teacher in others.items():
        with pytest.raises(InputError, match=message):
            train_network(named, recipe, TRAINING, TEST, settings, teacher=teacher)


def test_branches_do_not_learn_their_own_answers_and_grow_no_fatter() -> None:
    settings = replace(SETTINGS, epochs=1)
    recipe = Recipe(branches=2, labels=True)
    split = train_network(untrained(), recipe, TRAINING, TEST, settings).network
    with pytest.raises(InputError, match="has 2 branches already: it would learn its own"):
        train_network(split, Recipe(branches=2), *UNLABELLED, settings)
    with pytest.raises(InputError, match="has 2 branches already, which stay as wide as they are"):
        train_network(split, replace(recipe, fatten=10), TRAINING, TEST, settings)


def test_a_network_without_layers() -> None:
    net = replace(
        untrained(), module=Floats(1, 1, 8, 8).build(lambda f: f.emit(R.reshape(f.x, (1, 64))))
    )
    with pytest.raises(ModelError, match="tiny: no convolution or dense layer to be trained"):
        train_network(net, Recipe(branches=None, labels=True), TRAINING, TEST, SETTINGS)


def test_of_widths_that_all_lose_too_much_the_most_accurate_is_taken() -> None:
    recipe = Recipe(branches=2, labels=True, max_drop=-100, max_fatten=30)
    result = train_network(untrained(), recipe, TRAINING, TEST, replace(SETTINGS, epochs=2))
    best = max(result.stages[1:], key=lambda stage: stage.accuracy)
    parameters = sum(weight.numel() for weight in to_torch(result.network.module).parameters())
    assert parameters == best.parameters
    said = f"{best.name} is the most accurate, so it is what goes on"
    assert (said in result.network.messages) == (best != result.stages[-1])


def test_parameters_are_counted_as_numbers_whatever_their_bytes() -> None:
    recipe = Recipe(branches=None, qat=True)
    settings = replace(SETTINGS, epochs=1)
    quantised = train_network(trained(), recipe, *UNLABELLED, settings)
    labelled = Recipe(branches=None, labels=True)
    again = train_network(quantised.network, labelled, TRAINING, TEST, settings)
    assert len({stage.parameters for stage in (*quantised.stages, *again.stages)}) == 1


class StopAfter(Watch):
    """Stops a flow after so many steps of all its stages."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def stepped(self, stage: str, step: int, steps: int, losses: Mapping[str, float]) -> None:
        self.left -= 1

    def stops(self) -> bool:
        return self.left == 0


def test_a_flow_stopped_at_any_step_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    network = untrained()
    recipe = Recipe(branches=2, max_drop=-100, max_fatten=10, prune=0.45, qat=True)
    data = bars(70, 1, labelled=False), bars(40, 2, labelled=False)
    settings = replace(SETTINGS, epochs=1)
    whole = train_network(network, recipe, *data, settings)
    for steps in range(1, 4 * 3 + 1):
        folder = tmp_path / str(steps)
        with pytest.raises(TrainingStoppedError):
            train_network(network, recipe, *data, settings, folder=folder, watch=StopAfter(steps))
        resumed = train_network(network, recipe, *data, settings, folder=folder)
        assert model(resumed) == model(whole)
        assert [replace(stage, seconds=0) for stage in resumed.stages] == [
            replace(stage, seconds=0) for stage in whole.stages
        ]


def test_random_weights_take_the_originals_place() -> None:
    """Both begin from scratch alike, whatever the original had learnt."""
    recipe = Recipe(branches=2, labels=True, max_drop=100, from_scratch=True)
    settings = replace(SETTINGS, epochs=1)
    first = train_network(untrained(), recipe, TRAINING, TEST, settings)
    second = train_network(trained(), recipe, TRAINING, TEST, settings)
    assert model(first) == model(second)
    other = train_network(untrained(), recipe, TRAINING, TEST, replace(settings, seed=1))
    assert model(first) != model(other)


def test_classes_are_not_looked_at_without_labels() -> None:
    recipe = Recipe(branches=2, max_drop=100)
    settings = replace(SETTINGS, epochs=1)
    network = trained()
    without = train_network(network, recipe, *UNLABELLED, settings)
    wrong = replace(TRAINING, classes=np.full(300, 9)), replace(TEST, classes=np.full(200, 9))
    assert model(train_network(network, recipe, *wrong, settings)) == model(without)

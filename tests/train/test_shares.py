"""What each branch learns of the teacher, from splitting and pruning."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.prune_channels import prune_channels
from lcp_tvm.train.shares import Shares, shares_of
from tests.quantise.float_builder import Floats
from tests.reference import evaluate_all


def linear(f: Floats) -> Any:
    """A network whose features are weights times the input's mean: branches keep them exactly."""
    h = f.emit(R.reshape(f.emit(R.mean(f.x, [2, 3], keepdims=True)), (1, 3)))
    h = f.emit(R.matmul(h, relax.const(f.normal(3, 12))), "features")
    return f.emit(R.matmul(h, relax.const(f.normal(12, 5))), "scores")


def test_branches_begin_with_the_features_they_are_to_learn() -> None:
    module = Floats(1, 3, 4, 4).build(linear)
    split = split_lcp_network(module, 2, fatten=20)
    shares = shares_of(split)
    assert [len(kept) for kept in shares.kept] == [7, 7]
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    teacher, student = evaluate_all(module, x), evaluate_all(split.module, x)
    for output, kept in zip(shares.outputs, shares.kept, strict=True):
        np.testing.assert_allclose(student[output], teacher["features"][:, kept], rtol=1e-5)


def test_pruned_branches_learn_what_is_left_of_their_shares() -> None:
    module = Floats(1, 3, 4, 4).build(linear)
    split = split_lcp_network(module, 2)
    pruned = prune_channels(split.module, 0.6)
    shares = shares_of(split)
    shares = shares.narrowed([pruned.kept[name].tolist() for name in shares.outputs])
    assert [len(kept) for kept in shares.kept] == [4, 4]
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    teacher, student = evaluate_all(module, x), evaluate_all(pruned.module, x)
    for output, kept in zip(shares.outputs, shares.kept, strict=True):
        np.testing.assert_allclose(student[output], teacher["features"][:, kept], rtol=1e-5)


def test_places_are_counted_within_a_branch() -> None:
    shares = Shares("end", ("a", "b"), ((1, 4, 6), (0, 2, 3)))
    assert shares.narrowed([[0, 2], [1]]).kept == ((1, 6), (2,))

"""Branches and their head become one network; files that do not belong together are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.frontend.load import load_networks
from lcp_tvm.frontend.mxnet import to_onnx
from lcp_tvm.frontend.mxnet_branches import Branch, merge, read_head
from lcp_tvm.frontend.mxnet_params import read_params
from lcp_tvm.frontend.mxnet_symbol import read_symbol
from lcp_tvm.network import Network
from lcp_tvm.preprocess import Preprocess
from lcp_tvm.splitting import count_branches
from tests.capella import script
from tests.frontend.mxnet_weights import params_file, picture
from tests.reference import evaluate

SIZE, WIDTH, CLASSES = 16, 4, 3
write_networks = script()


def branch(
    folder: Path, number: int, *, width: int = WIDTH, channels: int = 3, tail: str = ""
) -> Path:
    """A convolution and a pool over whole channels, and then perhaps a ``tail``."""
    made = write_networks.Network(seed=number)
    made.nodes.append({"op": "null", "name": "data", "inputs": []})
    data = made.convolution("conv0", 0, channels, width, 2, 3)
    data = made.relu("relu0", data)
    data = made.node("Pooling", "pool0", [data], global_pool=True, pool_type="avg")
    if tail:
        made.node(tail, "tail", [data])
    made.write(folder / f"branch{number}")
    return folder / f"branch{number}-symbol.json"


def dense(folder: Path, values: int = 2 * WIDTH) -> Path:
    path = folder / "dense.params"
    path.write_bytes(write_networks.params(write_networks.dense(values, CLASSES)))
    return path


def load(paths: list[Path], head: Path, *params: Path) -> Network:
    preprocess = Preprocess(size=(SIZE, SIZE))
    return load_networks(paths, head=head, params=params, preprocess=preprocess)


def result(path: Path) -> np.ndarray:
    """What a branch alone gives, its values in a row."""
    arrays = read_params(path.with_name(path.name.replace("-symbol.json", "-0000.params")))
    model = to_onnx(read_symbol(path), arrays, (SIZE, SIZE))
    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(
        None, {"data": picture(SIZE)}
    )
    return np.asarray(found).reshape(1, -1)


@pytest.mark.parametrize("tail", ["", "Flatten", "Dropout"])
def test_the_network_is_the_dense_layer_of_what_the_branches_give(
    tmp_path: Path, tail: str
) -> None:
    paths = [branch(tmp_path, 0, tail=tail), branch(tmp_path, 1, width=8, tail=tail)]
    head = dense(tmp_path, WIDTH + 8)
    network = load(paths, head)
    assert network.name == "branch"
    assert count_branches(network) == 2
    weight, bias = read_head(head)
    expected = np.concatenate([result(path) for path in paths], axis=1) @ weight.T + bias
    found = evaluate(network.module, picture(SIZE))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_what_all_branches_end_in_comes_after_the_concatenation(tmp_path: Path) -> None:
    paths = [branch(tmp_path, number, tail="Flatten") for number in (0, 1, 2)]
    branches = [
        Branch(path, read_symbol(path), read_params(tmp_path / f"branch{number}-0000.params"))
        for number, path in enumerate(paths)
    ]
    symbol, arrays = merge(branches, np.ones((CLASSES, 3 * WIDTH), np.float32), None)
    named = [(o.op, o.name[:3]) for o in symbol.operators if o.op != "null"]
    one = ["Convolution", "BatchNorm", "Activation"]
    assert named == [
        *[(op, f"b{number}_") for number in range(3) for op in one],
        ("Concat", "mer"),
        ("Pooling", "hea"),
        ("Flatten", "hea"),
        ("FullyConnected", "hea"),
    ]
    assert symbol.operators[-1].attributes == {"no_bias": "True"}
    assert sum(name.endswith("conv0_weight") for name in arrays) == 3


def test_inputs_may_have_names_of_their_own(tmp_path: Path) -> None:
    paths = [branch(tmp_path, number) for number in (0, 1)]
    paths[1].write_text(paths[1].read_text().replace('"data"', '"picture"'))
    assert load(paths, dense(tmp_path)).input_name == "data"


def test_weights_may_lie_elsewhere(tmp_path: Path) -> None:
    paths = [branch(tmp_path, number) for number in (0, 1)]
    expected = evaluate(load(paths, dense(tmp_path)).module, picture(SIZE))
    moved = []
    for number in (0, 1):
        moved.append(tmp_path / f"{number}.params")
        (tmp_path / f"branch{number}-0000.params").rename(moved[-1])
    with pytest.raises(InputError, match=r"no branch0-0000\.params beside it"):
        load(paths, dense(tmp_path))
    found = evaluate(load(paths, dense(tmp_path), *moved).module, picture(SIZE))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match="--params is given 1 times for 2 models"):
        load(paths, dense(tmp_path), moved[0])


def test_branches_read_the_same_picture(tmp_path: Path) -> None:
    paths = [branch(tmp_path, 0), branch(tmp_path, 1, channels=1)]
    with pytest.raises(InputError, match=r"branch1.* reads 1 channels, .*branch0-symbol\.json 3;"):
        load(paths, dense(tmp_path))


def test_a_head_has_the_branches_width(tmp_path: Path) -> None:
    paths = [branch(tmp_path, 0), branch(tmp_path, 1, width=8)]
    with pytest.raises(InputError, match=r"takes 8 values, the branches give 4 \+ 8 = 12"):
        load(paths, dense(tmp_path))


def test_branches_end_in_the_same_layer(tmp_path: Path) -> None:
    paths = [branch(tmp_path, 0), branch(tmp_path, 1, tail="Flatten")]
    with pytest.raises(InputError, match=r"branch1.* ends in Pooling, Flatten, .* in Pooling;"):
        load(paths, dense(tmp_path))


def test_an_error_in_a_branch_names_its_file(tmp_path: Path) -> None:
    paths = [branch(tmp_path, 0), branch(tmp_path, 1, tail="Crop")]
    with pytest.raises(ModelError, match=r"branch1-symbol\.json: operator Crop"):
        load(paths, dense(tmp_path))
    paths = [branch(tmp_path, 0), branch(tmp_path, 1)]
    (tmp_path / "branch1-0000.params").write_bytes(params_file({}))
    with pytest.raises(InputError, match=r"branch1-symbol\.json: found 6 inputs"):
        load(paths, dense(tmp_path))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({}, "this file has nothing"),
        ({"weight": (3, 8), "bias": (3,), "gamma": (3,)}, "has 'bias', 'gamma', 'weight'"),
        ({"bias": (3,)}, "has 'bias'"),
        ({"weight": (3, 8, 1, 1)}, r"found \[\[3, 8, 1, 1\]\]"),
        ({"arg:d_weight": (3, 8), "arg:d_bias": (4,)}, r"found \[\[3, 8\], \[4\]\]"),
    ],
)
def test_what_is_no_head(tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    path = tmp_path / "dense.params"
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    path.write_bytes(params_file(arrays))
    with pytest.raises(InputError, match=message):
        read_head(path)


def test_several_models_are_branches(tmp_path: Path) -> None:
    paths = [branch(tmp_path, number) for number in (0, 1)]
    with pytest.raises(InputError, match=r"2 models are given; .*--head FILE\.params"):
        load_networks(paths)
    with pytest.raises(InputError, match="two or more; there is one model"):
        load_networks(paths[:1], head=dense(tmp_path))
    with pytest.raises(InputError, match=r"two or more; net\.onnx is none"):
        load_networks([paths[0], Path("net.onnx")], head=dense(tmp_path))

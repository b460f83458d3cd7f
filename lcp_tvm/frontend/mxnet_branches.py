"""The split that Capella's files describe: branches without a dense layer, and that layer.

    branch0: data -> .. -> pool        branch0: data -> .. --+
    branch1: data -> .. -> pool   =>   branch1: data -> .. --concat -> pool -> dense
    head: weight [, bias]

What all branches end in, pooling over whole channels or flattening, is moved behind the
concatenation, which changes nothing: ``--split lcp:N`` leaves it there too, and names the branches'
operators ``b0_..``, ``b1_..`` as here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.frontend.mxnet import (
    assumed_size,
    find_params,
    free_variable,
    input_channels,
    network_name,
    to_onnx,
)
from lcp_tvm.frontend.mxnet_params import read_params
from lcp_tvm.frontend.mxnet_symbol import VARIABLE, Operator, Symbol, read_symbol
from lcp_tvm.frontend.onnx import network_of
from lcp_tvm.network import Network, Preprocess

_DATA, _MERGED, _HEAD = "data", "merged", "head"
_WEIGHT, _BIAS = "head.weight", "head.bias"
_UNCHANGED = ("BlockGrad", "Dropout", "_copy")


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A network without its dense layer."""

    path: Path
    symbol: Symbol
    arrays: Mapping[str, np.ndarray]


def load_branches(
    symbols: Sequence[Path],
    head: Path,
    params: Sequence[Path] = (),
    *,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Read branches and the dense layer that they share, as one network.

    Parameters
    ----------
    symbols : ``NAME-symbol.json`` of each branch; all get the same picture.
    head : the dense layer's weight and bias, as ``Dense.save_parameters`` writes them.
    params : weights of each branch; none for the newest beside each symbol.

    Raises
    ------
    InputError
        A file is missing or damaged, or they do not belong together.
    ModelError
        An operator that is not supported.
    """
    files = params or [find_params(path) for path in symbols]
    branches = [
        Branch(path, read_symbol(path), read_params(file))
        for path, file in zip(symbols, files, strict=True)
    ]
    _check_inputs(branches)
    size, messages = assumed_size(symbols[0], preprocess)
    weight, bias = read_head(head)
    widths = [_width(branch, size) for branch in branches]
    if sum(widths) != weight.shape[1]:
        found = " + ".join(map(str, widths)) + (f" = {sum(widths)}" if len(widths) > 1 else "")
        raise InputError(
            f"--head {head}: its weight takes {weight.shape[1]} values, the branches give {found}"
        )
    symbol, arrays = merge(branches, weight, bias)
    model, path = to_onnx(symbol, arrays, size), _without_number(symbols[0])
    network = network_of(model, path, preprocess=preprocess, labels=labels)
    return replace(network, messages=(*messages, *network.messages))


def _without_number(symbol: Path) -> Path:
    """What the branches together are called: ``branch`` of branch0."""
    path = network_name(symbol)
    return path.with_name(path.name.rstrip("0123456789").rstrip("-_.") or path.name)


def read_head(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a dense layer: its weight [classes, values] and its bias [classes], if it has one.

    Raises
    ------
    InputError
        The file is no dense layer's.
    """
    arrays = read_params(path)
    weights = [array for name, array in arrays.items() if name.endswith("weight")]
    biases = [array for name, array in arrays.items() if name.endswith("bias")]
    if len(weights) != 1 or len(biases) > 1 or len(arrays) != len(weights) + len(biases):
        raise InputError(
            f"--head {path}: a dense layer is one weight and at most one bias; this file has "
            f"{', '.join(map(repr, sorted(arrays)[:4])) or 'nothing'}"
        )
    weight, bias = weights[0], biases[0] if biases else None
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise InputError(
            f"--head {path}: a dense layer's weight has the shape [classes, values] and its bias "
            f"[classes]; found {[list(array.shape) for array in (*weights, *biases)]}"
        )
    return weight, bias


def merge(
    branches: Sequence[Branch], weight: np.ndarray, bias: np.ndarray | None
) -> tuple[Symbol, dict[str, np.ndarray]]:
    """Return the network of branches and head, and its weights.

    Raises
    ------
    InputError
        The branches do not end in the same way.
    """
    tails = [_tail(branch.symbol) for branch in branches]
    for branch, tail in zip(branches, tails, strict=True):
        if [_form(o) for o in tail] != [_form(o) for o in tails[0]]:
            raise InputError(
                f"{branch.path} ends in {_kinds(tail)}, {branches[0].path} in {_kinds(tails[0])}; "
                "export both up to the same layer"
            )
    operators = [Operator(VARIABLE, _DATA, (), {})]
    arrays: dict[str, np.ndarray] = {}
    ends = []
    for number, (branch, tail) in enumerate(zip(branches, tails, strict=True)):
        prefix = f"b{number}_"
        data = free_variable(branch.symbol, branch.arrays)
        names = {o.name: prefix + o.name for o in branch.symbol.operators} | {data: _DATA}
        dropped = {data, *(o.name for o in tail)}
        operators += [
            replace(o, name=names[o.name], inputs=tuple(names[name] for name in o.inputs))
            for o in branch.symbol.operators
            if o.name not in dropped
        ]
        arrays |= {prefix + name: array for name, array in branch.arrays.items()}
        ends.append(names[tail[0].inputs[0] if tail else branch.symbol.result])
    operators.append(Operator("Concat", _MERGED, tuple(ends), {"dim": "1"}))
    for operator in tails[0]:
        read = (operators[-1].name,)
        operators.append(replace(operator, name=f"{_HEAD}_{operator.name}", inputs=read))
    head = {_WEIGHT: weight} | ({} if bias is None else {_BIAS: bias})
    inputs = (operators[-1].name, *head)
    operators += [Operator(VARIABLE, name, (), {}) for name in head]
    operators.append(Operator("FullyConnected", _HEAD, inputs, {"no_bias": str(bias is None)}))
    return Symbol(tuple(operators), _HEAD), arrays | head


def _tail(symbol: Symbol) -> list[Operator]:
    """The last operators, first to last, that give the same behind a concatenation of channels."""
    by_name = {operator.name: operator for operator in symbol.operators}
    tail: list[Operator] = []
    operator = by_name[symbol.result]
    while _keeps_channels_apart(operator) and operator.inputs:
        tail.insert(0, operator)
        operator = by_name[operator.inputs[0]]
    return tail


def _keeps_channels_apart(operator: Operator) -> bool:
    if operator.op == "Pooling":
        average = operator.text("pool_type", "max") == "avg"
        return average and operator.flag("global_pool", default=False)
    return operator.op.lower() == "flatten" or operator.op in _UNCHANGED


def _form(operator: Operator) -> tuple[str, dict[str, str]]:
    return operator.op, dict(operator.attributes)


def _kinds(operators: Sequence[Operator]) -> str:
    return ", ".join(operator.op for operator in operators) or "another layer"


def _check_inputs(branches: Sequence[Branch]) -> None:
    """Refuse branches that do not read the same picture."""
    found = []
    for branch in branches:
        try:
            data = free_variable(branch.symbol, branch.arrays)
            found.append(input_channels(branch.symbol, branch.arrays, data))
        except (InputError, ModelError) as error:
            raise type(error)(f"{branch.path}: {error}") from error
        if found[-1] != found[0]:
            raise InputError(
                f"{branch.path} reads {found[-1]} channels, {branches[0].path} {found[0]}; "
                "branches read the same picture"
            )


def _width(branch: Branch, size: tuple[int, int]) -> int:
    """How many values a branch gives to the head."""
    try:
        model = onnx.shape_inference.infer_shapes(to_onnx(branch.symbol, branch.arrays, size))
    except (InputError, ModelError) as error:
        raise type(error)(f"{branch.path}: {error}") from error
    dims = model.graph.output[0].type.tensor_type.shape.dim
    if len(dims) < 2 or not all(dim.HasField("dim_value") for dim in dims):
        raise ModelError(
            f"{branch.path}: the shape of its result cannot be told; do its layers fit?"
        )
    return int(np.prod([dim.dim_value for dim in dims[1:]]))

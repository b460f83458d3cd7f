"""MXNet Gluon networks, from ``block.export()``, as ONNX models: one importer serves both.

MXNet itself is not needed. Every operator of the Gluon model zoo's image classifiers has its ONNX
form below; what a label or a training step needs is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.frontend.mxnet_params import read_params
from lcp_tvm.frontend.mxnet_symbol import VARIABLE, Operator, Symbol, read_symbol
from lcp_tvm.frontend.onnx import network_of
from lcp_tvm.network import Network, Preprocess

OPSET = 17
DEFAULT_SIZE = (224, 224)
"""Of pictures, which a symbol does not say."""

_SUFFIX = "-symbol.json"


def load_mxnet(
    symbol: Path,
    params: Path | None = None,
    *,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Read a network of MXNet, as `lcp_tvm.frontend.onnx.load_onnx` reads one of ONNX.

    Parameters
    ----------
    symbol : ``NAME-symbol.json``.
    params : its weights; None for the newest ``NAME-NNNN.params`` beside it.

    Raises
    ------
    InputError
        A file is missing, damaged, or they do not belong together.
    ModelError
        An operator that is not supported.
    """
    graph = read_symbol(symbol)
    params = params or find_params(symbol)
    arrays = read_params(params)
    size, messages = assumed_size(symbol, preprocess)
    try:
        model = to_onnx(graph, arrays, size)
    except (InputError, ModelError) as error:
        raise type(error)(f"{symbol} with {params.name}: {error}") from error
    network = network_of(model, network_name(symbol), preprocess=preprocess, labels=labels)
    return replace(network, messages=(*messages, *network.messages))


def network_name(symbol: Path) -> Path:
    """A symbol's path without what ends it: what its network is called."""
    return symbol.parent / symbol.name.removesuffix(_SUFFIX)


def assumed_size(symbol: Path, preprocess: Preprocess | None) -> tuple[tuple[int, int], list[str]]:
    """Height and width of the input, and what is to be said of them."""
    if preprocess is not None:
        return preprocess.size, []
    height, width = DEFAULT_SIZE
    message = (
        f"{symbol}: a symbol does not say its input's size; assuming {height}x{width}; "
        "--preprocess FILE.toml sets another"
    )
    return DEFAULT_SIZE, [message]


def find_params(symbol: Path) -> Path:
    """The weights beside a symbol, those of the last epoch.

    Raises
    ------
    InputError
        There are none.
    """
    stem = symbol.name.removesuffix(_SUFFIX).removesuffix(".json")
    pattern = re.compile(re.escape(stem) + r"-(\d{4,})\.params")
    found = {
        int(match[1]): path
        for path in symbol.absolute().parent.glob("*.params")
        if (match := pattern.fullmatch(path.name))
    }
    if not found:
        raise InputError(
            f"{symbol}: there is no {stem}-0000.params beside it; say where the weights are with "
            "--params FILE"
        )
    return found[max(found)]


def to_onnx(
    symbol: Symbol,
    arrays: Mapping[str, np.ndarray],
    size: tuple[int, ...],
    channels: int | None = None,
) -> onnx.ModelProto:
    """Express a symbol and its weights in ONNX.

    Parameters
    ----------
    size : height and width of the input.
    channels : of the input; None for as many as its first layer takes.

    Raises
    ------
    InputError
        Weights are missing, or there is not one input.
    ModelError
        An operator that is not supported.
    """
    used = _reached(symbol)
    graph = _Graph(arrays)
    data = free_variable(symbol, arrays)
    graph.values[data] = data
    for operator in symbol.operators:
        if operator.op != VARIABLE and operator.name in used:
            convert = _CONVERTERS.get(operator.op)
            if convert is None:
                raise ModelError(
                    f"operator {operator.label} is not supported; supported are "
                    f"{', '.join(sorted(_CONVERTERS))}"
                )
            graph.values[operator.name] = convert(graph, operator)
    channels = channels or input_channels(symbol, arrays, data)
    float32, shape = onnx.TensorProto.FLOAT, [1, channels, *size]
    made = helper.make_graph(
        graph.nodes,
        "mxnet",
        [helper.make_tensor_value_info(data, float32, shape)],
        [helper.make_tensor_value_info(graph.values[symbol.result], float32, None)],
        [numpy_helper.from_array(array, name) for name, array in graph.weights.items()],
    )
    opset = [helper.make_operatorsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opset, ir_version=8)


def free_variable(symbol: Symbol, arrays: Mapping[str, np.ndarray]) -> str:
    """The variable that has no weight: the input.

    Raises
    ------
    InputError
        There is none, or several.
    """
    used = _reached(symbol)
    variables = [o for o in symbol.operators if o.op == VARIABLE and o.name in used]
    free = [o.name for o in variables if o.name not in arrays]
    if len(free) != 1:
        raise InputError(
            f"found {len(free)} inputs ({', '.join(map(repr, free[:4])) or 'none'}), a network has "
            f"one: the picture; the weights are called {_some(arrays)}: do the two "
            "files belong together?"
        )
    return free[0]


def _some(arrays: Mapping[str, np.ndarray]) -> str:
    """A few names, for a message."""
    names = sorted(arrays)
    return ", ".join(map(repr, names[:3])) + (", .." if len(names) > 3 else "")


def _reached(symbol: Symbol) -> set[str]:
    """Nodes that the result depends on, labels of a loss left out."""
    by_name = {operator.name: operator for operator in symbol.operators}
    reached, waiting = set(), [symbol.result]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            operator = by_name[name]
            inputs = operator.inputs[:1] if operator.op in _LOSSES else operator.inputs
            waiting.extend(inputs)
    return reached


def input_channels(symbol: Symbol, arrays: Mapping[str, np.ndarray], data: str) -> int:
    """Channels of the input, as what reads it first knows them.

    Raises
    ------
    ModelError
        Nothing that reads it does.
    """
    seen = {data}
    for operator in symbol.operators:
        if not seen & set(operator.inputs):
            continue
        for name in operator.inputs[1:]:
            shape = arrays[name].shape if name in arrays else ()
            if operator.op == "Convolution" and len(shape) == 4:
                return int(shape[1]) * operator.integers("num_group", (1,))[0]
            if operator.op == "BatchNorm" and len(shape) == 1:
                return int(shape[0])
        seen.add(operator.name)
    raise ModelError("no layer says how many channels the input has")


class _Graph:
    """An ONNX graph on its way: nodes, weights, and the tensor that each operator became."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.values: dict[str, str] = {}

    def node(self, op: str, operator: Operator, inputs: list[str], **attributes: Any) -> str:
        """Append a node whose result has the operator's name."""
        self.nodes.append(
            helper.make_node(op, inputs, [operator.name], operator.name, **attributes)
        )
        return operator.name

    def value(self, operator: Operator, index: int = 0) -> str:
        """An input that is computed."""
        if index >= len(operator.inputs):
            raise InputError(f"{operator.label} has {len(operator.inputs)} inputs")
        name = operator.inputs[index]
        if name not in self.values:
            self.weight(name, self.array(operator, index))
            self.values[name] = name
        return self.values[name]

    def array(self, operator: Operator, index: int) -> np.ndarray:
        """An input that is a weight, float32."""
        name = operator.inputs[index] if index < len(operator.inputs) else ""
        if name not in self.arrays:
            raise InputError(f"{operator.label}: the weights have no {name!r}")
        return self.arrays[name].astype(np.float32)

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights[name] = array
        return name


Convert = Callable[[_Graph, Operator], str]


def _convolution(graph: _Graph, operator: Operator) -> str:
    kernel = operator.integers("kernel", ())
    if len(kernel) != 2 or operator.text("layout", "NCHW") not in ("NCHW", "None"):
        raise ModelError(f"{operator.label}: only 2 dimensions in the layout NCHW are supported")
    inputs = [graph.value(operator), graph.value(operator, 1)]
    if not operator.flag("no_bias", default=False):
        inputs.append(graph.value(operator, 2))
    return graph.node(
        "Conv", operator, inputs,
        kernel_shape=kernel,
        strides=operator.integers("stride", (1, 1)),
        pads=operator.integers("pad", (0, 0)) * 2,
        dilations=operator.integers("dilate", (1, 1)),
        group=operator.integers("num_group", (1,))[0],
    )  # fmt: skip


def _batch_norm(graph: _Graph, operator: Operator) -> str:
    if operator.integers("axis", (1,)) != (1,):
        raise ModelError(f"{operator.label}: only axis 1 is supported")
    gamma = graph.array(operator, 1)
    if operator.flag("fix_gamma", default=True):
        gamma = np.ones_like(gamma)
    inputs = [graph.value(operator), graph.weight(f"{operator.name}.gamma", gamma)]
    inputs += [graph.value(operator, index) for index in (2, 3, 4)]
    epsilon = operator.number("eps", 1e-3)
    if not 0 < epsilon < 1:
        raise InputError(f"{operator.label}: eps is {epsilon:g}, not between 0 and 1")
    return graph.node("BatchNormalization", operator, inputs, epsilon=epsilon)


_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus"}


def _activation(graph: _Graph, operator: Operator) -> str:
    kind = operator.text("act_type")
    if kind not in _ACTIVATIONS:
        raise ModelError(f"{operator.label}: act_type {kind!r} is not supported")
    return graph.node(_ACTIVATIONS[kind], operator, [graph.value(operator)])


def _leaky_relu(graph: _Graph, operator: Operator) -> str:
    kind = operator.text("act_type", "leaky")
    if kind != "leaky":
        raise ModelError(f"{operator.label}: act_type {kind!r} is not supported")
    slope = operator.number("slope", 0.25)
    return graph.node("LeakyRelu", operator, [graph.value(operator)], alpha=slope)


def _pooling(graph: _Graph, operator: Operator) -> str:
    kind, data = operator.text("pool_type", "max"), [graph.value(operator)]
    if kind not in ("max", "avg"):
        raise ModelError(f"{operator.label}: pool_type {kind!r} is not supported")
    average = kind == "avg"
    if operator.flag("global_pool", default=False):
        return graph.node("GlobalAveragePool" if average else "GlobalMaxPool", operator, data)
    kernel = operator.integers("kernel", ())
    stride, pad = operator.integers("stride", (1, 1)), operator.integers("pad", (0, 0))
    if len(kernel) != 2 or len(stride) != 2 or len(pad) != 2:
        raise ModelError(f"{operator.label}: only 2 dimensions are supported")
    convention = operator.text("pooling_convention", "valid")
    full = convention == "full"
    # Where a stride is larger than the kernel, MXNet and ONNX count windows beyond the edge
    # differently; so they do what they average over in padding that both add.
    if convention not in ("valid", "full") or (
        full and (any(s > k for s, k in zip(stride, kernel, strict=True)) or (average and any(pad)))
    ):
        raise ModelError(
            f"{operator.label}: pooling_convention {convention!r} with kernel {kernel}, stride "
            f"{stride} and pad {pad} is not supported"
        )
    attributes = {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": pad * 2,
        "ceil_mode": int(full),
    }
    if not average:
        return graph.node("MaxPool", operator, data, **attributes)
    counted = operator.flag("count_include_pad", default=True) and not full
    return graph.node("AveragePool", operator, data, **attributes, count_include_pad=int(counted))


def _fully_connected(graph: _Graph, operator: Operator) -> str:
    data = graph.value(operator)
    if operator.flag("flatten", default=True):
        flat = f"{operator.name}.flat"
        graph.nodes.append(helper.make_node("Flatten", [data], [flat], flat))
        data = flat
    inputs = [data, graph.value(operator, 1)]
    if not operator.flag("no_bias", default=False):
        inputs.append(graph.value(operator, 2))
    return graph.node("Gemm", operator, inputs, transB=1)


def _concat(graph: _Graph, operator: Operator) -> str:
    inputs = [graph.value(operator, index) for index in range(len(operator.inputs))]
    return graph.node("Concat", operator, inputs, axis=operator.integers("dim", (1,))[0])


def _clip(graph: _Graph, operator: Operator) -> str:
    bounds = [
        graph.weight(f"{operator.name}.{key}", np.array(operator.number(key, 0.0), np.float32))
        for key in ("a_min", "a_max")
    ]
    return graph.node("Clip", operator, [graph.value(operator), *bounds])


def _unchanged(graph: _Graph, operator: Operator) -> str:
    return graph.value(operator)


def _binary(op: str) -> Convert:
    return lambda graph, operator: graph.node(
        op, operator, [graph.value(operator), graph.value(operator, 1)]
    )


def _unary(op: str, **attributes: Any) -> Convert:
    return lambda graph, operator: graph.node(op, operator, [graph.value(operator)], **attributes)


_LOSSES = ("SoftmaxOutput", "Softmax")

_CONVERTERS: Mapping[str, Convert] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "BlockGrad": _unchanged,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _unchanged,
    "Flatten": _unary("Flatten"),
    "FullyConnected": _fully_connected,
    "LeakyReLU": _leaky_relu,
    "Pooling": _pooling,
    "SoftmaxOutput": _unary("Softmax", axis=1),
    "Softmax": _unary("Softmax", axis=1),
    "_Plus": _binary("Add"),
    "_copy": _unchanged,
    "_plus": _binary("Add"),
    "broadcast_add": _binary("Add"),
    "clip": _clip,
    "elemwise_add": _binary("Add"),
    "flatten": _unary("Flatten"),
    "relu": _unary("Relu"),
    "sigmoid": _unary("Sigmoid"),
    "softmax": _unary("Softmax", axis=-1),
}

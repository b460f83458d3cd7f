"""Networks of convolutions, pools and residual blocks for tests of splits, float and int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from hypothesis import strategies as st
from tvm import relax
from tvm.relax import op as R

Emit = Callable[[Any], Any]


@dataclass
class Net:
    """Builds ``main`` operator by operator, in float or in the integer form."""

    channels: int
    height: int
    width: int
    integer: bool = False
    seed: int = 0
    builder: relax.BlockBuilder = field(default_factory=relax.BlockBuilder)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        shape = (1, self.channels, self.height, self.width)
        self.x = relax.Var("image", relax.TensorType(shape, "float32"))

    def build(self, body: Callable[[Net, Any], Any]) -> tvm.IRModule:
        """Return a network of what ``body`` makes of the picture: a result, or a tuple of them."""
        bb = self.builder
        with bb.function("main", [self.x]):
            with bb.dataflow():
                h: Any = self.x
                if self.integer:
                    h = bb.emit(R.multiply(h, relax.const(np.float32(32))))
                    h = bb.emit(R.round(h))
                    h = bb.emit(R.clip(h, -128, 127))
                    h = bb.emit(R.astype(h, "int8"))
                h = body(self, h)
                results = []
                for result in h if isinstance(h, tuple) else (h,):
                    if self.integer:
                        result = bb.emit(R.astype(result, "float32"))
                        result = bb.emit(R.multiply(result, relax.const(np.float32(1 / 16))))
                    results.append(bb.emit_output(result))
            bb.emit_func_output(results if len(results) > 1 else results[0])
        return bb.finalize()

    def conv(
        self,
        h: Any,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        stride: int = 1,
        padding: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: int = 1,
        depthwise: bool = False,
        skip: Any = None,
    ) -> Any:
        inputs = int(h.ty.shape[1])
        groups = inputs if depthwise else 1
        outputs = inputs if depthwise else outputs
        shape = (outputs, inputs // groups, *kernel)
        emit = self.builder.emit
        keys = {
            "strides": stride, "padding": list(padding), "dilation": dilation, "groups": groups
        }  # fmt: skip
        if not self.integer:
            fan_in = shape[1] * kernel[0] * kernel[1]
            weight = relax.const((self.rng.normal(size=shape) / fan_in**0.5).astype(np.float32))
            h = emit(R.nn.conv2d(h, weight, **keys))
            h = emit(R.add(h, self.constant((1, outputs, 1, 1))))
            if skip is not None:
                h = emit(R.add(h, skip))
            return emit(R.nn.relu(h))
        weight = relax.const(self.rng.integers(-40, 40, shape).astype(np.int8))
        bias = relax.const(self.rng.integers(-900, 900, (1, outputs, 1, 1)).astype(np.int32))
        h = emit(R.nn.conv2d(h, weight, out_dtype="int32", **keys))
        h = emit(R.add(h, bias))
        if skip is not None:
            skip = emit(R.astype(skip, "int32"))
            h = emit(R.add(h, emit(R.left_shift(skip, relax.const(np.int32(5))))))
        return self._requantise(h, 7)

    def pool(self, h: Any, size: int, stride: int, padding: int, average: bool = False) -> Any:
        op = R.nn.avg_pool2d if average and not self.integer else R.nn.max_pool2d
        return self.builder.emit(
            op(h, [size, size], strides=[stride, stride], padding=[padding] * 4)
        )

    def residual(self, h: Any, kernel: int = 3) -> Any:
        outputs = int(h.ty.shape[1])
        same = (kernel // 2,) * 4
        first = self.conv(h, outputs, (kernel, kernel), 1, same)
        return self.conv(first, outputs, (kernel, kernel), 1, same, skip=h)

    def concat(self, first: Any, second: Any) -> Any:
        return self.builder.emit(R.concat([first, second], axis=1))

    def head(self, h: Any, classes: int = 5) -> Any:
        """Flatten and a dense layer."""
        emit = self.builder.emit
        size = int(np.prod([int(side) for side in h.ty.shape]))
        h = emit(R.reshape(h, (1, size)))
        if not self.integer:
            weight = self.rng.normal(size=(size, classes)) / size**0.5
            return emit(R.matmul(h, relax.const(weight.astype(np.float32))))
        weight = self.rng.integers(-40, 40, (size, classes)).astype(np.int8)
        h = emit(R.matmul(h, relax.const(weight), out_dtype="int32"))
        h = emit(R.add(h, relax.const(self.rng.integers(-900, 900, classes).astype(np.int32))))
        return self._requantise(h, 8)

    def constant(self, shape: tuple[int, ...]) -> Any:
        return relax.const(self.rng.normal(size=shape).astype(np.float32))

    def _requantise(self, h: Any, shift: int) -> Any:
        emit = self.builder.emit
        h = emit(R.right_shift(h, relax.const(np.int32(shift))))
        return emit(R.astype(emit(R.clip(h, 0, 127)), "int8"))


@dataclass(frozen=True)
class Layer:
    """One drawn layer: what `random_network` builds from."""

    kind: str
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilation: int = 1
    channels: int = 4


@st.composite
def layers(draw: Any) -> Layer:
    kind = draw(
        st.sampled_from(["conv", "conv", "depthwise", "max", "average", "residual", "fork"])
    )
    if kind in ("residual", "fork"):
        return Layer(kind, kernel=(draw(st.sampled_from([1, 3, 5])),) * 2)
    if kind in ("max", "average"):
        size = draw(st.integers(1, 3))
        padding = draw(st.integers(0, size // 2))
        return Layer(kind, (size, size), draw(st.integers(1, 3)), (padding,) * 4)
    kernel = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    padding = tuple(draw(st.integers(0, kernel[side % 2] // 2 + 1)) for side in range(4))
    return Layer(
        kind,
        kernel,
        draw(st.integers(1, 3)),
        padding,  # type: ignore[arg-type]
        draw(st.integers(1, 2)),
        draw(st.integers(1, 6)),
    )


@st.composite
def networks(draw: Any, integer: bool, head: bool | None = None) -> tvm.IRModule:
    """A network of one to five drawn layers on an odd or even picture, with or without a head."""
    drawn = draw(st.lists(layers(), min_size=1, max_size=5))
    height, width = draw(st.integers(5, 33)), draw(st.integers(5, 33))
    with_head = draw(st.booleans()) if head is None else head
    net = Net(draw(st.integers(1, 3)), height, width, integer, draw(st.integers(0, 1000)))

    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 4)
        for layer in drawn:
            h = _add(net, h, layer)
        return net.head(h) if with_head else h

    return net.build(body)


def _add(net: Net, h: Any, layer: Layer) -> Any:
    """Add a layer, or leave it out where the map has become too small for it."""
    sides = [int(side) for side in h.ty.shape][2:]
    pads = layer.padding
    spans = [(k - 1) * layer.dilation + 1 for k in layer.kernel]
    if any(sides[i] + pads[i] + pads[i + 2] < spans[i] for i in (0, 1)):
        return h
    if layer.kind == "residual":
        return net.residual(h, layer.kernel[0])
    if layer.kind == "fork":
        same = (layer.kernel[0] // 2,) * 4
        return net.concat(
            net.conv(h, 3, layer.kernel, 1, same), net.conv(h, 2, (1, 1), 1, (0,) * 4)
        )
    if layer.kind in ("max", "average"):
        return net.pool(h, layer.kernel[0], layer.stride, pads[0], layer.kind == "average")
    return net.conv(
        h, layer.channels, layer.kernel, layer.stride, pads, layer.dilation,
        depthwise=layer.kind == "depthwise",
    )  # fmt: skip


ClassifierLayer = tuple[str, int, int]
"""Kind, width and kernel."""

CLASSIFIER_LAYERS: st.SearchStrategy[list[ClassifierLayer]] = st.lists(
    st.tuples(
        st.sampled_from(["conv", "depthwise", "max", "average", "residual"]),
        st.integers(1, 9),
        st.sampled_from([1, 3]),
    ),
    min_size=1,
    max_size=5,
)


def classifier(layers: list[ClassifierLayer], fork: bool, seed: int) -> tvm.IRModule:
    """A convolution, the drawn layers, a fork of two where wanted, and a dense layer."""

    def body(net: Net, h: Any) -> Any:
        h = net.conv(h, 8)
        for kind, width, kernel in layers:
            if kind == "residual":
                h = net.residual(h, kernel)
            elif kind in ("max", "average"):
                h = net.pool(h, kernel, 1, kernel // 2, kind == "average")
            else:
                same = (kernel // 2,) * 4
                h = net.conv(h, width, (kernel, kernel), 1, same, depthwise=kind == "depthwise")
        if fork:
            h = net.concat(net.conv(h, 5), net.conv(h, 3))
        return net.head(h)

    return Net(2, 6, 7, seed=seed).build(body)

"""What is checked in an ONNX file before anything is imported."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.network import Preprocess

ONNX_DOMAINS = ("", "ai.onnx")
AXES = ("batch size", "channel count", "height", "width")


def read_model(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file with its external data.

    Raises
    ------
    InputError : no such file, or one that is truncated, damaged or not ONNX.
    ModelError : an operator that ONNX itself does not define.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise InputError(f"{path}: not an ONNX file, or a truncated one ({error})") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(f"{path}: cannot be read with its external data ({error})") from error
    if not model.graph.node or not model.graph.output:
        raise InputError(f"{path}: not an ONNX file, or one without a network in it")
    _refuse_foreign_operators(model, path)
    for output in model.graph.output:
        # The checker insists on a shape that everyone else, and we, can do without.
        output.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: a damaged or invalid ONNX model: {reason[:300]}") from error
    except ValueError:
        pass  # over 2 GB: too large for the checker alone, not for the importer
    return model


def node_label(node: onnx.NodeProto) -> str:
    """Return "Conv at node 'conv1'": a node without a name goes by its output."""
    domain = "" if node.domain in ONNX_DOMAINS else f"{node.domain}."
    name = node.name or next(iter(node.output), "")
    return " ".join(f"{domain}{node.op_type} at node {name!r}".split())


def _refuse_foreign_operators(model: onnx.ModelProto, path: Path) -> None:
    for node in model.graph.node:
        if not isinstance(node.op_type, str):  # protobuf returns bytes that are no UTF-8
            raise InputError(f"{path}: a damaged ONNX model: operator {node.op_type!r}")
        if node.domain not in ONNX_DOMAINS or not onnx.defs.has(node.op_type):
            raise ModelError(
                f"{path}: operator {node_label(node)} is not one of ONNX's own; export the model "
                f"without it (quantised models in the QDQ format)"
            )


def fixed_input(
    model: onnx.ModelProto, path: Path, preprocess: Preprocess | None
) -> tuple[str, tuple[int, ...], list[str]]:
    """Return name and static shape of the model's one input, and what was fixed.

    A batch size that is open becomes 1, open height and width become the preprocessing's.

    Raises
    ------
    ModelError : not exactly one input, not float32, not four dimensions, or one that stays open.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(repr(value.name) for value in inputs) or "none"
        raise ModelError(
            f"{path}: found {len(inputs)} inputs ({names}), a network has one: the picture; "
            f"make the others constants when exporting"
        )
    name, tensor = inputs[0].name, inputs[0].type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        types = {number: label.lower() for label, number in onnx.TensorProto.DataType.items()}
        found = types.get(tensor.elem_type, f"of unknown type {tensor.elem_type}")
        raise ModelError(f"{path}: input {name!r} is {found}, only float32 is supported")
    if len(tensor.shape.dim) != 4:
        raise ModelError(
            f"{path}: input {name!r} has {len(tensor.shape.dim)} dimensions, a picture has four "
            f"([1, channels, height, width])"
        )
    shape, messages = [], []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            shape.append(dim.dim_value)
            continue
        open_size = f"{path}: {AXES[axis]} {dim.dim_param!r} of input {name!r} is open"
        if axis == 0:
            shape.append(1)
        elif axis > 1 and preprocess is not None:
            shape.append(preprocess.size[axis - 2])
        else:
            how = "" if axis == 1 else "give preprocessing with a size, or "
            raise ModelError(f"{open_size}; {how}export the model with a fixed one")
        messages.append(f"{open_size}; fixed to {shape[-1]}")
    if shape[0] != 1:
        raise ModelError(
            f"{path}: input {name!r} takes {shape[0]} pictures at once, only 1 is supported; "
            f"export the model with batch size 1"
        )
    return name, tuple(shape), messages

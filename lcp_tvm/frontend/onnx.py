"""ONNX to the float Relax network that everything else starts from."""

from __future__ import annotations

import contextlib
import io
import re
import traceback
import warnings
from pathlib import Path

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from lcp_tvm.detector import Detector, class_count, detector_from_json
from lcp_tvm.errors import InputError, ModelError
from lcp_tvm.frontend.onnx_file import fixed_input, node_label, read_model
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.preprocess import CHANNEL_COUNT, labels_from_json, preprocess_from_json
from lcp_tvm.relay_passes.clean_up import clean_up
from lcp_tvm.relay_passes.rewrite import (
    operands_of,
    rename_variables,
    short_name,
    straight_line,
)

PREPROCESS_KEY = "lcp_tvm.preprocess"
LABELS_KEY = "lcp_tvm.labels"
DETECTOR_KEY = "lcp_tvm.detector"


def load_onnx(
    path: Path | str,
    *,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Read an ONNX model, float or QDQ, and bring it into the form of ``clean_up``.

    Parameters
    ----------
    path : the file; weights inside or beside it as ONNX's external data.
    preprocess, labels : what belongs to the network; if None, taken from the model's metadata
        (``lcp_tvm.preprocess``, a JSON object; ``lcp_tvm.labels``, a JSON list), else from the
        shape of its input, else none. What a detector's output means is in the metadata alone
        (``lcp_tvm.detector``, a JSON object with the fields of `Detector`).

    Returns
    -------
    A network with one input float32 [1, C, H, W]; its variables have the names of the model's
    tensors. ``messages`` say what was fixed or assumed.

    Raises
    ------
    InputError : not an ONNX file, or preprocessing that does not fit the input.
    ModelError : an operator, input or dimension that cannot be compiled.
    """
    path = Path(path)
    return network_of(read_model(path), path, preprocess=preprocess, labels=labels)


def network_of(
    model: onnx.ModelProto,
    path: Path,
    *,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Bring an ONNX model that is in memory into the form of ``clean_up``, as `load_onnx` does.

    Parameters
    ----------
    path : of the file that it came from, for messages; its stem is the network's name.
    """
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if preprocess is None and PREPROCESS_KEY in metadata:
        where = f"{path}: metadata {PREPROCESS_KEY}"
        preprocess = preprocess_from_json(metadata[PREPROCESS_KEY], where)
    if labels is None and LABELS_KEY in metadata:
        labels = labels_from_json(metadata[LABELS_KEY], f"{path}: metadata {LABELS_KEY}")

    name, shape, messages = fixed_input(model, path, preprocess)
    preprocess, assumed = _fitting(preprocess, shape, path)
    try:
        module = _import(model, name, shape)
        module = tvm.transform.Sequential(clean_up())(module)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    _refuse_computed_shapes(module, path)
    _refuse_empty_maps(module, path)
    detector = None
    if DETECTOR_KEY in metadata:
        detector = _detector(metadata[DETECTOR_KEY], module, f"{path}: metadata {DETECTOR_KEY}")
    return Network(
        name=_identifier(path.stem),
        module=module,
        input_name=module["main"].params[0].name,
        input_shape=shape,
        preprocess=preprocess,
        labels=labels or (),
        detector=detector,
        messages=(*messages, *assumed),
    )


def _detector(text: str, module: tvm.IRModule, where: str) -> Detector:
    """Read what a detector's output means, and check that it has such an output."""
    detector = detector_from_json(text, where)
    result = module["main"].ret_ty
    types = result.fields if isinstance(result, relax.TupleType) else [result]
    class_count(detector, [tuple(map(int, ty.shape)) for ty in types], where)
    return detector


def _fitting(
    preprocess: Preprocess | None, shape: tuple[int, ...], path: Path
) -> tuple[Preprocess, list[str]]:
    """Return preprocessing for an input [1, C, H, W], and what was assumed."""
    channels, size = shape[1], (shape[2], shape[3])
    if preprocess is None:
        preprocess = Preprocess(size=size, channels="L" if channels == 1 else "RGB")
        message = (
            f"{path}: no preprocessing given; assuming {preprocess.channels} values 0..1; "
            f"--preprocess FILE.toml sets mean, std and channel order"
        )
        if channels not in CHANNEL_COUNT.values():
            message = (
                f"{path}: the input has {channels} channels, which no picture has; calibrate "
                f"with an .npz and run on arrays"
            )
        return preprocess, [message]
    if preprocess.size != size:
        raise InputError(
            f"{path}: preprocessing has size {list(preprocess.size)}, the input is "
            f"{list(size)} (height, width); change size"
        )
    if CHANNEL_COUNT[preprocess.channels] != channels:
        raise InputError(
            f"{path}: preprocessing has channels {preprocess.channels!r}, the input has "
            f"{channels}; change channels"
        )
    return preprocess, []


def _import(model: onnx.ModelProto, input_name: str, shape: tuple[int, ...]) -> tvm.IRModule:
    """Run TVM's importer and name the variables after the model's tensors."""
    results = [output.name for output in model.graph.output]
    # As outputs, tensors keep their names through the importer; they are taken back below.
    inner = [name for node in model.graph.node for name in node.output if name]
    tensors = list(dict.fromkeys([*results, *inner]))
    model.graph.ClearField("output")
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")
            module = from_onnx(model, shape_dict={input_name: list(shape)})
    except Exception as error:  # the importer raises whatever the converter stumbled over
        _close_builder(error)
        raise _import_error(model, str(error), said.getvalue()) from error
    return _named(module, tensors, len(results))


def _close_builder(error: Exception) -> None:
    """End the block that a failed import leaves open: TVM would complain about it on stderr."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        importer = frame.f_locals.get("self")
        if isinstance(importer, ONNXGraphImporter):
            with contextlib.suppress(tvm.error.InternalError):  # none was open yet
                importer.bb._end_block()
            return


def _import_error(model: onnx.ModelProto, error: str, said: str) -> ModelError:
    """Name operator and nodes of a failed import."""
    found = re.search(r"Error converting operator (\w+)", said)
    listed = re.search(r"not supported for frontend ONNX: (.*)", error)
    types = {found[1]} if found else set(re.findall(r"\w+", listed[1])) if listed else set()
    nodes = [node for node in model.graph.node if node.op_type in types]
    if not nodes:
        return ModelError(f"cannot be imported: {_first_line(error)}")
    named = ", ".join(node_label(node) for node in nodes[:3])
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    reason = "" if listed else f": {_first_line(error)}"
    return ModelError(
        f"operator cannot be imported: {named}{more}{reason}; export the model "
        f"without it (other opset, or a simpler layer)"
    )


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def _identifier(name: str) -> str:
    """Return a name that is an identifier in TVMScript."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"v{cleaned}"


def _named(module: tvm.IRModule, tensors: list[str], result_count: int) -> tvm.IRModule:
    """Rename variables after ``tensors``, which ``main`` returns, and return the first few only."""
    function, bindings = straight_line(module)
    values = {binding.var: binding.value for binding in bindings}
    body = values.get(function.body.body, function.body.body)
    fields = list(body.fields) if isinstance(body, relax.Tuple) else [function.body.body]
    names: dict[relax.Var, str] = {}
    for field, tensor in zip(fields, tensors, strict=True):
        if isinstance(field, relax.Var):
            names.setdefault(field, _identifier(tensor))
    # What the importer made on the way to a tensor is named after it: scores_matmul.
    for binding in reversed(bindings):
        if binding.var in names:
            for operand in operands_of(binding.value):
                if isinstance(operand, relax.Var) and operand in values:
                    made = f"{names[binding.var]}_{short_name(values[operand])}"
                    names.setdefault(operand, made)
    return rename_variables(module, fields[:result_count], names)


def _refuse_empty_maps(module: tvm.IRModule, path: Path) -> None:
    """Raise a ModelError for a result without a number, as of a window larger than its map."""
    for binding in straight_line(module)[1]:
        ty = binding.var.ty
        if isinstance(ty, relax.TensorType) and any(size < 1 for size in map(int, ty.shape)):
            raise ModelError(
                f"{path}: the result of {binding.var.name} ({short_name(binding.value)}) is empty, "
                f"{list(map(int, ty.shape))}; the network needs larger pictures, or another window"
            )


def _refuse_computed_shapes(module: tvm.IRModule, path: Path) -> None:
    """Raise a ModelError for a variable whose shape is not known at compile time."""
    for binding in straight_line(module)[1]:
        types = [binding.var.ty]
        while types:
            ty = types.pop()
            if isinstance(ty, relax.TupleType):
                types.extend(ty.fields)
            elif isinstance(ty, relax.TensorType) and not (
                ty.shape is not None and all(isinstance(n, tvm.tirx.IntImm) for n in ty.shape)
            ):
                raise ModelError(
                    f"{path}: the shape of {binding.var.name} depends on values computed in the "
                    f"network; export the model with fixed shapes"
                )

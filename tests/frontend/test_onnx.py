"""An ONNX file becomes one clean float network, or one clear error."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper, numpy_helper
from tvm import relax

from lcp_tvm.errors import InputError, LcpError, ModelError
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.split_text import Whole
from lcp_tvm.splitting import plan_network
from tests.frontend.models import model, random_input, run, save
from tests.networks import light_network, resnet18

LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
         "squeezenet", "vgg19", "zfnet512")  # fmt: skip
LARGE = ("bvlc_alexnet", "vgg19", "zfnet512")  # hundreds of megabytes of weights
RELU = helper.make_node("Relu", ["x"], ["y"], name="act")
FASHION = Path(__file__).parents[2] / "examples" / "fashion_mnist" / "fashion_net.onnx"
RANDOM = np.random.default_rng(3)


def ops(network: Network) -> list[str]:
    """Return operators of ``main`` in order of computation."""
    (block,) = network.module["main"].body.blocks
    return [binding.value.op.name.removeprefix("relax.") for binding in block.bindings]


def assert_computes(network: Network, proto: onnx.ModelProto) -> None:
    """The network computes what onnxruntime makes of the model, to 1e-4 of its range."""
    x = random_input(network.input_shape)
    expected, found = run(proto, x), run(to_onnx(network.module), x)
    for left, right in zip(found, expected, strict=True):
        assert np.abs(left - right).max() <= 1e-4 * np.abs(right).max()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else []) for name in LIGHT],
)
def test_onnx_own_networks_load_and_compute_the_same(name: str, tmp_path: Path) -> None:
    proto = light_network(name)
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert not {"nn.batch_norm", "nn.dropout", "call_tir", "stack"}.intersection(ops(network))
    assert relax.analysis.well_formed(network.module) is not False
    assert [var.name_hint for var in network.module.get_global_vars()] == ["main"]


def test_resnet18_keeps_convolutions_biases_and_skips_only(tmp_path: Path) -> None:
    proto = resnet18(size=64)
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    found = ops(network)
    counts = {op: found.count(op) for op in dict.fromkeys(found)}
    assert counts == {
        "nn.conv2d": 20,
        "add": 20 + 8 + 1,  # biases of convolutions, skips, bias of the dense layer
        "nn.relu": 17,
        "nn.max_pool2d": 1,
        "mean": 1,
        "reshape": 1,
        "matmul": 1,
    }


def test_the_bundled_network() -> None:
    network = load_onnx(FASHION)
    assert (network.name, network.input_name) == ("fashion_net", "picture")
    assert network.input_shape == (1, 1, 32, 32)
    assert network.preprocess == Preprocess(
        size=(32, 32), mean=(0.286,), std=(0.353,), channels="L"
    )
    assert network.labels[0] == "t-shirt"
    assert len(network.labels) == 10
    assert network.messages == ()
    assert_computes(network, onnx.load(FASHION))


def test_variables_are_named_after_the_tensors_of_the_model(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["block/conv.out"]),
        helper.make_node("Relu", ["block/conv.out"], ["1"]),
        helper.make_node("Identity", ["1"], ["y"]),
    ]
    w, b = np.ones((2, 3, 1, 1), np.float32), np.ones(2, np.float32)
    network = load_onnx(save(model(nodes, {"w": w, "b": b}), tmp_path))
    names = [binding.var.name for binding in network.module["main"].body.blocks[0].bindings]
    assert names == ["block_conv_out_conv2d", "block_conv_out", "y"]


def test_conv_bias_and_dense_have_their_canonical_shapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"]),
        helper.make_node("Add", ["conv", "b"], ["biased"]),
        helper.make_node("Flatten", ["biased"], ["flat"]),
        helper.make_node("Gemm", ["flat", "d", "c"], ["y"], transB=1, alpha=1.0, beta=2.0),
    ]
    constants = {
        "w": RANDOM.standard_normal((2, 3, 3, 3), np.float32),
        "b": np.array([[[1]], [[2]]], np.float32),  # [C, 1, 1]
        "d": RANDOM.standard_normal((5, 72), np.float32),
        "c": RANDOM.standard_normal((1, 5), np.float32),
    }
    proto = model(nodes, constants)
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert ops(network) == ["nn.conv2d", "add", "reshape", "matmul", "add"]
    bindings = network.module["main"].body.blocks[0].bindings
    shapes = [tuple(int(n) for n in bindings[at].value.args[1].ty.shape) for at in (0, 1, 3, 4)]
    assert shapes == [(2, 3, 3, 3), (1, 2, 1, 1), (72, 5), (5,)]


def test_clip_and_padding_become_operators(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["conv"], group=3),
        helper.make_node("Clip", ["conv", "lo", "hi"], ["y"]),
    ]
    constants = {
        "pads": np.array([0, 0, 0, 1, 0, 0, 1, 2]),
        "w": RANDOM.standard_normal((3, 1, 3, 3), np.float32),
        "lo": np.float32(0),
        "hi": np.float32(6),
    }
    proto = model(nodes, constants)
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert ops(network) == ["nn.conv2d", "clip"]


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_becomes_padding(auto_pad: str, tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=[2, 2])
    proto = model([node], {"w": RANDOM.standard_normal((4, 3, 3, 3), np.float32)})
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert ops(network) == ["nn.conv2d"]


def test_a_quantised_model_keeps_its_integers(tmp_path: Path) -> None:
    quantised = RANDOM.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "sw", "zw"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["bq", "sb", "zb"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"]),
    ]
    scales = np.array([0.5, 0.25, 0.125, 0.5], np.float32)
    constants = {
        "sx": np.float32(0.03125), "zero": np.int8(0),
        "wq": quantised, "sw": scales, "zw": np.zeros(4, np.int8),
        "bq": np.array([9, -8, 7, 6], np.int32), "sb": scales * np.float32(0.03125),
        "zb": np.zeros(4, np.int32),
    }  # fmt: skip
    proto = model(nodes, constants)
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert ops(network) == [
        "quantize",
        "dequantize",
        "dequantize",
        "nn.conv2d",
        "dequantize",
        "add",
    ]
    bindings = network.module["main"].body.blocks[0].bindings
    np.testing.assert_array_equal(bindings[2].value.args[0].value.numpy(), quantised)
    bias = bindings[4].value
    assert bias.args[0].value.numpy().shape == (1, 4, 1, 1)
    assert bias.attrs.axis == 1


def test_an_open_batch_size_becomes_one(tmp_path: Path) -> None:
    path = save(model([RELU], shape=("batch", 3, 8, 8)), tmp_path)
    network = load_onnx(path)
    assert network.input_shape == (1, 3, 8, 8)
    assert f"{path}: batch size 'batch' of input 'x' is open; fixed to 1" in network.messages


def test_open_height_and_width_come_from_the_preprocessing(tmp_path: Path) -> None:
    path = save(model([RELU], shape=("n", 3, "h", "w")), tmp_path)
    network = load_onnx(path, preprocess=Preprocess(size=(6, 4)))
    assert network.input_shape == (1, 3, 6, 4)
    assert len(network.messages) == 3


def test_preprocessing_and_labels_in_the_metadata_give_way_to_the_callers(tmp_path: Path) -> None:
    proto = model([RELU])
    helper.set_model_props(
        proto,
        {
            "lcp_tvm.preprocess": json.dumps({"size": [8, 8], "channels": "BGR"}),
            "lcp_tvm.labels": json.dumps(["cat", "dog"]),
        },
    )
    path = save(proto, tmp_path)
    stored = load_onnx(path)
    assert (stored.preprocess.channels, stored.labels) == ("BGR", ("cat", "dog"))
    given = load_onnx(path, preprocess=Preprocess(size=(8, 8)), labels=("a",))
    assert (given.preprocess.channels, given.labels) == ("RGB", ("a",))


def test_a_detector_in_the_metadata_must_fit_the_output(tmp_path: Path) -> None:
    proto = model([RELU], shape=(1, 3, 8, 8))
    assert load_onnx(save(proto, tmp_path)).detector is None
    helper.set_model_props(proto, {"lcp_tvm.detector": json.dumps({"anchors": [[1, 2]]})})
    with pytest.raises(InputError, match=r"lcp_tvm\.detector: outputs are \[1, 3, 8, 8\]; a det"):
        load_onnx(save(proto, tmp_path))


def test_outputs_without_a_shape_are_fine(tmp_path: Path) -> None:
    proto = model([RELU])
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert ops(load_onnx(save(proto, tmp_path))) == ["nn.relu"]


def test_two_outputs(tmp_path: Path) -> None:
    nodes = [RELU, helper.make_node("Exp", ["y"], ["z"])]
    proto = model(nodes, outputs=("z", "y"))
    network = load_onnx(save(proto, tmp_path))
    assert_computes(network, proto)
    assert [field.name for field in network.module["main"].body.body.fields] == ["z", "y"]


def refused(proto: onnx.ModelProto, tmp_path: Path, preprocess: Preprocess | None = None) -> str:
    """Return the message of the ModelError that the model causes."""
    with pytest.raises(ModelError) as caught:
        load_onnx(save(proto, tmp_path), preprocess=preprocess)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_operator_that_onnx_does_not_know(tmp_path: Path) -> None:
    node = helper.make_node("Warp", ["x"], ["y"], name="bend")
    assert "operator Warp at node 'bend' is not one of ONNX's own" in refused(
        model([node]), tmp_path
    )


def test_an_operator_of_another_domain(tmp_path: Path) -> None:
    node = helper.make_node("QLinearAdd", ["x"], ["y"], domain="com.microsoft")
    assert "com.microsoft.QLinearAdd at node 'y'" in refused(model([node]), tmp_path)


def test_an_operator_that_tvm_does_not_import(tmp_path: Path) -> None:
    node = helper.make_node("Det", ["x"], ["y"], name="det")
    message = refused(model([node]), tmp_path)
    assert "operator cannot be imported: Det at node 'det'" in message


def test_an_attribute_that_tvm_does_not_import(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="odd", auto_pad="SOMEHOW")
    message = refused(model([node], {"w": np.ones((1, 3, 1, 1), np.float32)}), tmp_path)
    assert "operator cannot be imported: Conv at node 'odd': Value SOMEHOW" in message
    gc.collect()
    assert capfd.readouterr() == ("", "")  # TVM says nothing of its own


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"inputs": ("x", "x2")}, "found 2 inputs ('x', 'x2'), a network has one"),
        ({"shape": (1, "c", 8, 8)}, "channel count 'c' of input 'x' is open; export"),
        ({"shape": (1, 3, "h", 8)}, "height 'h' of input 'x' is open; give preprocessing"),
        ({"shape": (4, 3, 8, 8)}, "takes 4 pictures at once, only 1 is supported"),
        ({"shape": (1, 64)}, "input 'x' has 2 dimensions, a picture has four"),
        ({"dtype": onnx.TensorProto.FLOAT16}, "input 'x' is float16, only float32"),
    ],
)
def test_inputs_that_no_picture_fits(
    keywords: dict[str, object], expected: str, tmp_path: Path
) -> None:
    assert expected in refused(model([RELU], **keywords), tmp_path)  # type: ignore[arg-type]


def test_control_flow(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node(op, ["x"], ["b"])], op, [], [value])
        for op in ("Relu", "Exp")
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["cond"]),
        helper.make_node("If", ["cond"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    message = refused(model(nodes, {"zero": np.float32(0)}), tmp_path)
    assert "networks with control flow cannot be compiled" in message


def test_a_window_larger_than_its_map(tmp_path: Path) -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[90, 2])
    message = refused(model([pool]), tmp_path)
    assert "the result of y (max_pool2d) is empty, [" in message


def test_a_shape_that_depends_on_values(tmp_path: Path) -> None:
    message = refused(model([helper.make_node("NonZero", ["x"], ["y"])]), tmp_path)
    assert "depends on values computed in the network" in message


def test_a_truncated_file(tmp_path: Path) -> None:
    data = FASHION.read_bytes()
    path = tmp_path / "net.onnx"
    for size in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="ONNX"):
            load_onnx(path)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" * 9, b"hello, world\n" * 9, bytes(64)])
def test_a_file_that_is_not_onnx(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not an ONNX file"):
        load_onnx(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_onnx(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match="not a file"):
        load_onnx(tmp_path)


def test_missing_external_data(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Conv", ["x", "w"], ["y"])], {"w": np.ones((1, 3, 1, 1), np.float32)}
    )
    path = tmp_path / "net.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match="external data"):
        load_onnx(path)


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        (Preprocess(size=(4, 4)), r"size \[4, 4\], the input is \[8, 8\]"),
        (Preprocess(size=(8, 8), channels="L"), "channels 'L', the input has 3"),
    ],
)
def test_preprocessing_that_does_not_fit(
    preprocess: Preprocess, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=expected):
        load_onnx(save(model([RELU]), tmp_path), preprocess=preprocess)


@pytest.mark.parametrize("key", ["preprocess", "labels", "detector"])
@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000])
def test_metadata_that_is_damaged(key: str, text: str, tmp_path: Path) -> None:
    proto = model([RELU])
    helper.set_model_props(proto, {f"lcp_tvm.{key}": text})
    with pytest.raises(InputError, match=rf"metadata lcp_tvm\.{key}: not JSON"):
        load_onnx(save(proto, tmp_path))


def test_constants_of_constant_nodes(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.float32([[[[2]]]]), "value")
    nodes = [
        helper.make_node("Constant", [], ["two"], value=value),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    proto = model(nodes)
    network = load_onnx(save(proto, tmp_path))
    assert ops(network) == ["multiply"]
    assert_computes(network, proto)
    assert isinstance(network.module, tvm.IRModule)


def test_a_network_that_returns_its_input(tmp_path: Path) -> None:
    nodes = [helper.make_node("Dropout", ["x"], ["d"]), helper.make_node("Identity", ["d"], ["y"])]
    proto = model(nodes)
    network = load_onnx(save(proto, tmp_path))
    assert network.module["main"].body.body.name == "y"
    assert_computes(network, proto)
    with pytest.raises(ModelError, match="the network computes nothing: its result is its input"):
        plan_network(network.module, "net", Whole())


def test_parts_of_a_split_are_slices(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=-2),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Concat", ["d", "a"], ["y"], axis=2),
    ]
    proto = model(nodes, {"sizes": np.int64([3, 1, 4])})
    network = load_onnx(save(proto, tmp_path))
    assert ops(network) == ["strided_slice", "strided_slice", "nn.relu", "concat"]
    assert_computes(network, proto)


def test_any_flipped_bit_gives_a_network_or_one_line(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "lo", "hi"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "m"], ["y"]),
    ]
    constants = {
        "w": np.ones((1, 3, 1, 1), np.float32), "b": np.ones(1, np.float32),
        "lo": np.float32(0), "hi": np.float32(6), "m": np.ones((1, 2), np.float32),
    }  # fmt: skip
    data = model(nodes, constants).SerializeToString()
    random = np.random.default_rng(5)
    path, refusals = tmp_path / "net.onnx", []
    for bit in random.choice(8 * len(data), 200, replace=False):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            load_onnx(path)
        except LcpError as error:
            refusals.append(str(error))
    assert len(refusals) >= 50
    assert [text for text in refusals if "\n" in text] == []

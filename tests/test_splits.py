"""Compiled splits give the bits of the compiled whole, on VTA and on CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import Compiled, compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network
from lcp_tvm.predict.cluster_file import load_cluster
from lcp_tvm.predict.predict import predict
from lcp_tvm.quantise import quantise
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.split_text import parse_split
from lcp_tvm.targets import parse_targets
from tests.quantise.float_builder import Floats, network, pictures
from tests.reference import evaluate
from tests.vta.configs import ROWS

SPLITS = (
    "ftp:2x2@3",
    "ftp:2x2@3:reuse",
    "layers:2",
    "layers:2:input",
    "layers:2:spatial",
    "strips:2",
    "pipeline:2",
    "replicate:2",
)
PICTURE = np.random.default_rng(7).normal(size=(1, 3, 12, 12)).astype(np.float32)


def residual(f: Floats) -> Any:
    """Convolutions, a depthwise one too, a residual addition, pooling and a dense layer."""
    stem = f.relu(f.conv(f.x, 8, 3, "stem"), "stem_out")
    deep = f.relu(f.conv(stem, 8, 3, "deep", groups=8), "deep_out")
    join = f.relu(f.emit(R.add(f.conv(deep, 8, 1, "narrow"), stem), "join"), "join_out")
    wide = f.relu(f.conv(join, 16, 3, "wide"), "wide_out")
    pooled = f.emit(R.mean(wide, axis=[2, 3], keepdims=True), "pooled")
    flat = f.emit(R.reshape(pooled, (1, 16)), "flat")
    dense = f.emit(R.matmul(flat, relax.const(f.normal(16, 5))), "dense")
    return f.emit(R.add(dense, relax.const(f.normal(5))), "scores")


@pytest.fixture(scope="module")
def net() -> Network:
    return network(Floats(1, 3, 12, 12).build(residual))


@pytest.fixture(scope="module")
def unsplit(net: Network) -> Compiled:
    return compile_network(net, parse_targets("vta"), pictures(4, 3, 12, 12))


def run(compiled: Compiled, picture: np.ndarray = PICTURE, *, fallback: bool = False) -> np.ndarray:
    executor = load_local(module.code for module in compiled.modules)
    (result,) = executor.run(compiled.plan, picture, fallback=fallback)
    return result


def test_the_whole_has_the_bits_of_the_integer_network(unsplit: Compiled) -> None:
    assert unsplit.integer is not None
    np.testing.assert_array_equal(run(unsplit), evaluate(unsplit.integer, PICTURE))


@pytest.mark.parametrize("split", ["none", *SPLITS])
def test_frames_together_have_the_bits_of_each_alone(
    net: Network, unsplit: Compiled, split: str
) -> None:
    compiled = compile_network(
        net, parse_targets("vta"), pictures(4, 3, 12, 12), split=parse_split(split), frames=3
    )
    assert compiled.plan.batch == 3
    x = np.random.default_rng(8).normal(size=(3, 3, 12, 12)).astype(np.float32)
    expected = np.concatenate([run(unsplit, frame) for frame in np.split(x, 3)])
    np.testing.assert_array_equal(run(compiled, x), expected)
    np.testing.assert_array_equal(run(compiled, x, fallback=True), expected)


def test_frames_together_fill_the_rows_of_an_array(
    net: Network, unsplit: Compiled, tmp_path: Path
) -> None:
    """BATCH 4: one frame takes one row, five take two elements."""
    file = tmp_path / "rows.json"
    file.write_text(ROWS.to_json())
    x = np.random.default_rng(9).normal(size=(5, 3, 12, 12)).astype(np.float32)
    expected = np.concatenate([run(unsplit, frame) for frame in np.split(x, 5)])
    milliseconds = []
    for frames in (1, 4, 5):
        compiled = compile_network(
            net, parse_targets(f"vta:{file}"), pictures(4, 3, 12, 12), frames=frames
        )
        np.testing.assert_array_equal(run(compiled, x[:frames]), expected[:frames])
        milliseconds.append(compiled.plan.functions["network"].measured_ms["rows"])
    assert milliseconds[1] < 1.3 * milliseconds[0] < milliseconds[2]


@pytest.mark.parametrize("target", ["vta", "cpu"])
@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_the_bits_of_the_whole(
    net: Network, unsplit: Compiled, split: str, target: str
) -> None:
    compiled = compile_network(
        net, parse_targets(target), pictures(4, 3, 12, 12), split=parse_split(split)
    )
    assert compiled.plan.split == split
    expected = run(unsplit)
    np.testing.assert_array_equal(run(compiled), expected)
    np.testing.assert_array_equal(run(compiled, fallback=True), expected)


def test_lcp_branches_have_the_bits_of_their_integer_network(net: Network) -> None:
    compiled = compile_network(
        net, parse_targets("vta"), pictures(4, 3, 12, 12), split=parse_split("lcp:2")
    )
    assert compiled.integer is not None
    assert [module.code.name for module in compiled.modules] == ["branch_0", "branch_1", "head"]
    np.testing.assert_array_equal(run(compiled), evaluate(compiled.integer, PICTURE))


def test_quantised_branches_are_taken_as_they_are(net: Network) -> None:
    """A network of branches that was quantised elsewhere."""
    branches = network(split_lcp_network(net.module, 2).module)
    qdq = network(quantise(branches, pictures(4, 3, 12, 12)).module)
    compiled = compile_network(qdq, parse_targets("cpu"), split=parse_split("lcp:2"))
    assert compiled.plan.split == "lcp:2"
    np.testing.assert_array_equal(run(compiled), evaluate(compiled.integer, PICTURE))


def test_boards_and_cpus_have_the_same_bits(net: Network, unsplit: Compiled) -> None:
    """Device 0 has a VTA, device 1 and the gateway do not."""
    compiled = compile_network(
        net,
        parse_targets("vta,1=cpu,gateway=cpu"),
        pictures(4, 3, 12, 12),
        split=parse_split("strips:2@3"),
    )
    kinds = {module.target.kind: module.code.vta is not None for module in compiled.modules}
    assert kinds == {"vta": True, "cpu": False}
    np.testing.assert_array_equal(run(compiled), run(unsplit))


def test_float_tiles_agree_with_the_float_network(net: Network) -> None:
    compiled = compile_network(net, parse_targets("cpu"), split=parse_split("ftp:2x2@3"))
    assert compiled.integer is None
    np.testing.assert_allclose(run(compiled), evaluate(net.module, PICTURE), atol=1e-5)


def test_tiles_on_a_cpu_hold_the_weights_once() -> None:
    """A 5x5 grid of nine functions grows by their code, not by their weights."""

    def body(f: Floats) -> object:
        return f.conv(f.conv(f.x, 128, 3, "a"), 128, 3, "b")

    net = network(Floats(1, 3, 20, 20).build(body))
    sizes = []
    for split in ("none", "ftp:5x5@2"):
        compiled = compile_network(net, parse_targets("cpu"), split=parse_split(split))
        (module,) = compiled.modules
        sizes.append(len(module.code.so))
    tile = compiled.plan.functions["tile"].cost
    assert len(compiled.plan.functions) == 9
    assert tile.weight_bytes > 600_000
    assert sizes[1] - sizes[0] < tile.weight_bytes


def test_functions_that_are_all_on_vta_are_measured() -> None:
    """A kernel that no buffer holds is the CPU's."""

    def compiled(kernel: int) -> Compiled:
        def body(f: Floats) -> Any:
            return f.conv(f.conv(f.x, 1, 3, "small"), 1, kernel, "last")

        return compile_network(
            network(Floats(1, 3, 46, 46).build(body)), parse_targets("vta:ultra96")
        )

    whole, mixed = compiled(3), compiled(47)
    (module,) = whole.modules
    milliseconds = sum(program["ms"] for program in module.stats.values())
    assert whole.plan.functions["network"].measured_ms == {"ultra96": milliseconds}
    assert mixed.plan.functions["network"].measured_ms == {}


def test_progress_goes_forward_and_names_functions(net: Network) -> None:
    seen: list[tuple[str, float]] = []
    compile_network(
        net,
        parse_targets("vta,gateway=cpu"),
        split=parse_split("ftp:1x2@2"),
        progress=lambda what, part: seen.append((what, part)),
    )
    parts = [part for _, part in seen]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    steps = [what for what, _ in seen]
    for step in ("scheduling tile_1 for VTA", "simulating anywhere", "compiling CPU code of head"):
        assert step in steps


def test_a_network_of_operators_that_no_split_knows_is_one_task(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("TopK", ["x", "two"], ["a", "places"], axis=1),
            helper.make_node("Neg", ["a"], ["y"]),
        ],
        "net",
        [info("x", TensorProto.FLOAT, [1, 4, 12, 12])],
        [info("y", TensorProto.FLOAT, [1, 2, 12, 12])],
        [helper.make_tensor("two", TensorProto.INT64, [1], [2])],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "n.onnx")
    compiled = compile_network(load_onnx(tmp_path / "n.onnx"), parse_targets("cpu"))
    assert [task.function for task in compiled.plan.tasks] == ["network"]
    x = np.random.default_rng(0).normal(size=(1, 4, 12, 12)).astype(np.float32)
    (y,) = load_local(module.code for module in compiled.modules).run(compiled.plan, x)
    np.testing.assert_array_equal(y, np.sort(-x, axis=1)[:, :2])
    cluster = load_cluster(Path(__file__).parents[1] / "examples" / "clusters" / "rpi3.toml")
    (note,) = predict(compiled.plan, cluster).notes
    assert note.startswith("what network costs is not known")

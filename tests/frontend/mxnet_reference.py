"""What MXNet itself makes of the Gluon model zoo, for tests that run without it.

    python tests/frontend/mxnet_reference.py

Needs an environment with ``mxnet==1.9.1 numpy==1.26.4``. Writes ``mxnet_zoo.zip``: of every network
its symbol, the shapes of its weights, the size of its input, and what it computes. Weights and
inputs are those of `mxnet_weights`.
"""

from __future__ import annotations

import builtins
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

for _name in ("bool", "int", "float", "object", "complex", "str"):
    setattr(np, _name, getattr(builtins, _name))  # MXNet 1.9 wants what numpy has dropped

import mxnet as mx  # noqa: E402
from mxnet.gluon.model_zoo import vision  # noqa: E402

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from mxnet_weights import picture, weights  # noqa: E402

OUTPUT = HERE / "mxnet_zoo.zip"

ZOO = {
    "alexnet": 67,
    "vgg11": 32,
    "vgg11_bn": 32,
    "resnet18_v1": 32,
    "resnet50_v1": 32,
    "resnet18_v2": 32,
    "resnet50_v2": 32,
    "squeezenet1.0": 224,
    "squeezenet1.1": 224,
    "mobilenet0.25": 224,
    "mobilenetv2_0.25": 224,
    "densenet121": 224,
    "inceptionv3": 299,
}
"""Networks, and the size of picture that is as small as they take."""


def reference(name: str, size: int) -> dict[str, object]:
    """Symbol, shapes, and what the network computes."""
    net = vision.get_model(name, classes=10)
    net.initialize()
    net.hybridize()
    x = mx.nd.array(picture(size))
    net(x)  # shapes are known from here on
    with tempfile.TemporaryDirectory() as folder:
        net.export(f"{folder}/net")
        saved = mx.nd.load(f"{folder}/net-0000.params")
        values = weights({key: array.shape for key, array in saved.items()})
        mx.nd.save(
            f"{folder}/net-0000.params",
            {key: mx.nd.array(value) for key, value in values.items()},
        )
        block = mx.gluon.SymbolBlock.imports(
            f"{folder}/net-symbol.json", ["data"], f"{folder}/net-0000.params"
        )
        return {
            "symbol": json.loads(Path(f"{folder}/net-symbol.json").read_text()),
            "shapes": {key: list(array.shape) for key, array in saved.items()},
            "size": size,
            "output": block(x).asnumpy().tolist(),
        }


def main() -> None:
    with zipfile.ZipFile(OUTPUT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in ZOO.items():
            found = reference(name, size)
            entry = zipfile.ZipInfo(f"{name}.json")  # of no time: the same file each time
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, json.dumps(found))
            print(name, len(found["shapes"]), found["output"][0][:3])  # type: ignore[arg-type, index]


if __name__ == "__main__":
    main()

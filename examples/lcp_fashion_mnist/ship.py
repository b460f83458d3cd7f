"""Write the networks that `lcp-tvm demo` runs, and their pictures, beside this file.

    python examples/lcp_fashion_mnist/ship.py original.onnx split2.onnx

``original.onnx`` and ``split2.onnx`` are what experiment.py trained. The original becomes int8
here, a quarter of the size, with the scales that `lcp-tvm compile` would choose; the branches
stay float.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lcp_tvm.frontend.export_file import write_onnx
from lcp_tvm.frontend.load import load_network
from lcp_tvm.pictures import load_calibration
from lcp_tvm.quantise import quantise

HERE = Path(__file__).resolve().parent
PADDED = HERE.parent / "fashion_mnist"
BORDER = 2


def write_pictures(name: str) -> None:
    """Write the pictures of the other example without their black border: 28x28."""
    (HERE / name).mkdir(exist_ok=True)
    for path in sorted((PADDED / name).glob("*.png")):
        inside = np.asarray(Image.open(path))[BORDER:-BORDER, BORDER:-BORDER]
        Image.fromarray(np.ascontiguousarray(inside)).save(HERE / name / path.name, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("original", type=Path)
    parser.add_argument("branches", type=Path)
    options = parser.parse_args()

    for name in ("pictures", "calibration"):
        write_pictures(name)
    network = load_network(options.original)
    pictures = load_calibration(HERE / "calibration", network.preprocess, network.input_shape)
    quantised = quantise(network, pictures)
    write_onnx(replace(network, module=quantised.module), HERE / "vgg_int8.onnx")
    shutil.copyfile(options.branches, HERE / "vgg_split2.onnx")


if __name__ == "__main__":
    main()

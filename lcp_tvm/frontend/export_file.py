"""A network as an ONNX file that `load_onnx` reads back, preprocessing and labels included."""

from __future__ import annotations

import json
from pathlib import Path

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import LABELS_KEY, PREPROCESS_KEY
from lcp_tvm.network import Network
from lcp_tvm.preprocess import preprocess_to


def write_onnx(network: Network, path: Path) -> None:
    """Write a network; ``path`` appears whole or not at all.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    model = to_onnx(network.module)
    facts = {PREPROCESS_KEY: preprocess_to(network.preprocess)}
    if network.labels:
        facts[LABELS_KEY] = list(network.labels)  # type: ignore[assignment]
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    with atomic_file(path) as stream:
        stream.write(model.SerializeToString())

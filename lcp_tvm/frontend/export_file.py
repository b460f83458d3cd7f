"""A network as an ONNX file that `load_onnx` reads back, with all that `Network` says of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.frontend.export import to_onnx
from lcp_tvm.frontend.onnx import DETECTOR_KEY, LABELS_KEY, PREPROCESS_KEY
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
    facts: dict[str, object] = {PREPROCESS_KEY: preprocess_to(network.preprocess)}
    if network.labels:
        facts[LABELS_KEY] = list(network.labels)
    if network.detector is not None:
        facts[DETECTOR_KEY] = asdict(network.detector)
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    with atomic_file(path) as stream:
        stream.write(model.SerializeToString())

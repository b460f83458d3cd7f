"""Model files of every kind that we read, told apart by their names."""

from __future__ import annotations

from pathlib import Path

from lcp_tvm.errors import InputError
from lcp_tvm.network import Network, Preprocess


def load_network(
    path: Path,
    *,
    params: Path | None = None,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Read a model: ``NAME-symbol.json`` is MXNet's, everything else is ONNX.

    Parameters
    ----------
    params : weights of an MXNet network, where they do not lie beside it.

    Raises
    ------
    InputError
        The file cannot be read, or preprocessing does not fit it.
    ModelError
        Something in it cannot be compiled.
    """
    if path.suffix == ".json":
        from lcp_tvm.frontend.mxnet import load_mxnet

        return load_mxnet(path, params, preprocess=preprocess, labels=labels)
    if params is not None:
        raise InputError(f"--params {params}: {path} is no -symbol.json of MXNet; leave it out")
    from lcp_tvm.frontend.onnx import load_onnx

    return load_onnx(path, preprocess=preprocess, labels=labels)

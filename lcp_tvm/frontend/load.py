"""Model files of every kind that we read, told apart by their names."""

from __future__ import annotations

from collections.abc import Sequence
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


def load_networks(
    paths: Sequence[Path],
    *,
    head: Path | None = None,
    params: Sequence[Path] = (),
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Read one model, or branches of MXNet and the head that merges them, as one network.

    Parameters
    ----------
    head : the dense layer of several branches.
    params : weights of MXNet networks, one file for each, where they do not lie beside them.

    Raises
    ------
    InputError, ModelError
        As `load_network`; or the files do not go together.
    """
    if params and len(params) != len(paths):
        raise InputError(
            f"--params is given {len(params)} times for {len(paths)} models; give one for each, "
            "in the same order"
        )
    if head is None:
        if len(paths) != 1:
            raise InputError(
                f"{len(paths)} models are given; branches of one network are merged by a dense "
                "layer: --head FILE.params"
            )
        given = params[0] if params else None
        return load_network(paths[0], params=given, preprocess=preprocess, labels=labels)
    other = next((path for path in paths if path.suffix != ".json"), None)
    if len(paths) < 2 or other is not None:
        found = f"{other} is none" if other is not None else "there is one model"
        raise InputError(
            f"--head goes with branches NAME-symbol.json of MXNet, two or more; {found}"
        )
    from lcp_tvm.frontend.mxnet_branches import load_branches

    return load_branches(paths, head, params, preprocess=preprocess, labels=labels)

"""Gluon blocks that are in memory, for programs that have MXNet: the extra ``[mxnet]``.

A block becomes a symbol and its weights, as ``block.export()`` would write them, and then goes
through the importer of `lcp_tvm.frontend.mxnet`. The block itself stays as it is.
"""

from __future__ import annotations

import builtins
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from lcp_tvm.frontend.mxnet_symbol import Symbol
    from lcp_tvm.network import Network, Preprocess

INPUT = "data"
_DROPPED = ("bool", "int", "float", "object", "complex", "str")
_INSTALL = "install it in an environment of its own: pip install 'lcp-tvm[mxnet]'"


def import_mxnet() -> ModuleType:
    """Import MXNet, which wants names that numpy has dropped; numpy has them only meanwhile.

    Raises
    ------
    InputError
        It is not installed, or cannot be imported.
    """
    import numpy as np

    missing = [name for name in _DROPPED if name not in vars(np)]
    for name in missing:
        setattr(np, name, getattr(builtins, name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MXNet looks for what numpy has dropped
            import mxnet
    except ImportError as error:
        raise InputError(f"MXNet cannot be imported ({error}); {_INSTALL}") from error
    except AttributeError as error:  # numpy 2 has dropped more
        raise InputError(
            f"MXNet cannot be imported with numpy {np.__version__}; {_INSTALL}"
        ) from error
    finally:
        for name in missing:
            delattr(np, name)
    return mxnet  # type: ignore[no-any-return]


def from_gluon(
    block: Any,
    shape: tuple[int, ...],
    *,
    preprocess: Preprocess | None = None,
    labels: tuple[str, ...] | None = None,
) -> Network:
    """Return a live Gluon block as a network, as `lcp_tvm.frontend.mxnet.load_mxnet` reads one.

    Parameters
    ----------
    block : a ``HybridBlock`` of one input and one result, its parameters initialised.
    shape : of its input, ``(1, C, H, W)``.

    Raises
    ------
    InputError
        MXNet is not installed, or the block cannot be called with such an input.
    ModelError
        An operator that is not supported.
    """
    from pathlib import Path

    from lcp_tvm.frontend.mxnet import to_onnx
    from lcp_tvm.frontend.onnx import network_of

    symbol, arrays = take_apart(block, shape)
    model = to_onnx(symbol, arrays, shape[2:4], shape[1])
    return network_of(model, Path(block.name), preprocess=preprocess, labels=labels)


def take_apart(block: Any, shape: tuple[int, ...]) -> tuple[Symbol, dict[str, np.ndarray]]:
    """Return a block's symbol, its input called `INPUT`, and its weights by their names.

    Raises
    ------
    InputError
        As `from_gluon`.
    """
    from lcp_tvm.frontend.mxnet_symbol import parse_symbol

    mxnet = import_mxnet()
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
        raise InputError(f"shape {shape}: a network takes one picture, (1, C, H, W)")
    if not isinstance(block, mxnet.gluon.HybridBlock):
        raise InputError(f"{type(block).__name__} is no HybridBlock of Gluon: it has no symbol")
    try:
        block(mxnet.nd.zeros(shape))  # shapes of all parameters are known from here on
        mxnet.nd.waitall()  # convolutions put weights in another order, beside those who read them
        made = block(mxnet.sym.var(INPUT))
    except (RuntimeError, ValueError, TypeError) as error:  # MXNetError is a RuntimeError
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{block.name} cannot take {shape}: {lines[-1].strip()}") from error
    if not isinstance(made, mxnet.sym.Symbol):
        raise InputError(f"{block.name} has {len(made)} results; a network has one")
    used = {*made.list_arguments(), *made.list_auxiliary_states()}
    parameters = block.collect_params().items()
    arrays = {name: value.data().asnumpy() for name, value in parameters if name in used}
    return parse_symbol(made.tojson().encode()), arrays

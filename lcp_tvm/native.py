"""The native library: where it is, and loading it once; and the agent, a program beside it.

An editable install keeps them in site-packages while the sources lie elsewhere, and a
wheel has both in one folder; ``lcp_tvm.__path__`` covers both.
"""

from functools import cache
from pathlib import Path

import tvm_ffi

import lcp_tvm
from lcp_tvm.errors import InputError


def library_path() -> Path:
    """Absolute path of the native library, for ``rpc_server --load-library`` and for loading.

    Raises
    ------
    InputError
        The library was not built or not installed.
    """
    return _installed("lib/liblcp_tvm.so", "native library")


def agent_path() -> Path:
    """Absolute path of the agent, which serves a board without Python.

    Raises
    ------
    InputError
        It was not built or not installed.
    """
    return _installed("bin/lcp-agent", "agent")


def _installed(name: str, what: str) -> Path:
    places = [Path(folder).resolve() / name for folder in lcp_tvm.__path__]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place.parent) for place in places)
    raise InputError(
        f"the {what} {Path(name).name} is missing (looked in {looked}); "
        "build it with 'pip install .' in the source folder"
    )


@cache
def load() -> Path:
    """Load the native library into this process, once; its path.

    Its functions are then global functions of tvm-ffi (docs/architecture.md, "Native library").
    Importing tvm_ffi first is what gives the library its runtime.

    Raises
    ------
    InputError
        The library is missing or does not load (for instance, built for another tvm-ffi).
    """
    path = library_path()
    if tvm_ffi.get_global_func("lcp_tvm.vta.Simulate", allow_missing=True) is not None:
        return path  # an RPC server has loaded it by --load-library
    try:
        tvm_ffi.load_module(path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the native library {path} does not load: {error}; "
            "build it again with 'pip install .' in the source folder"
        ) from error
    return path

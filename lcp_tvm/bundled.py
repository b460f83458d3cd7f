"""Examples that are installed with the package."""

from __future__ import annotations

from pathlib import Path

import lcp_tvm
from lcp_tvm.errors import InputError

EXAMPLE = Path("lcp_fashion_mnist")


def bundled_examples() -> Path:
    """Return the folder of the bundled examples.

    Raises
    ------
    InputError
        The installation lacks it.
    """
    folders = [Path(folder, "examples") for folder in lcp_tvm.__path__]
    for folder in folders:
        if (folder / EXAMPLE).is_dir():
            return folder
    raise InputError(
        f"the bundled network is missing (looked in {', '.join(map(str, folders))}); "
        "install lcp-tvm again"
    )

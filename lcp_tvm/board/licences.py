"""The licences of what an agent is made of."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from lcp_tvm.errors import InputError

# Name in a kit, distribution, and where the text is in its metadata or, else, beside its packages.
_LICENCES = (
    ("lcp-tvm", "lcp-tvm", "licenses/LICENSE"),
    ("tvm", "apache-tvm", "licenses/LICENSE"),
    ("tvm-notice", "apache-tvm", "tvm/NOTICE"),
    ("tvm-ffi", "apache-tvm-ffi", "licenses/LICENSE"),
    ("tvm-ffi-notice", "apache-tvm-ffi", "licenses/NOTICE"),
    ("compiler-rt", "ziglang", "ziglang/LICENSE"),
    ("libcxx", "ziglang", "ziglang/lib/libcxx/LICENSE.TXT"),
    ("libcxxabi", "ziglang", "ziglang/lib/libcxxabi/LICENSE.TXT"),
    ("libunwind", "ziglang", "ziglang/lib/libunwind/LICENSE.TXT"),
)


def licences() -> dict[str, bytes]:
    """Return the texts by file name.

    Raises
    ------
    InputError
        A package is not installed, or lacks one.
    """
    return {f"{name}.txt": _text(package, path) for name, package, path in _LICENCES}


def _text(package: str, path: str) -> bytes:
    try:
        distribution = importlib.metadata.distribution(package)
        text = distribution.read_text(path)
        if text is not None:
            return text.encode()
        return Path(str(distribution.locate_file(path))).read_bytes()
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise InputError(f"licence of {package}: {error}; install lcp-tvm again") from error

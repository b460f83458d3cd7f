"""Files that someone else made, read no further than they may be large."""

from __future__ import annotations

from pathlib import Path

from lcp_tvm.errors import InputError


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Read a file of at most so many bytes, a multiple of a MiB.

    Raises
    ------
    InputError
        It cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > most_bytes:
        raise InputError(f"{path}: larger than {most_bytes >> 20} MiB")
    return data

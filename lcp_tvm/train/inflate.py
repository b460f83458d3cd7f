"""Compressed bytes of someone else, inflated no further than they can be pictures."""

from __future__ import annotations

from typing import Protocol

from lcp_tvm.errors import InputError

MAX_BYTES = 1 << 32
"""Of all pictures of a data set, decoded."""

MAX_RATIO = 100
"""Pictures compress to a half or a tenth; what shrinks much more is no data set."""

FREE_BYTES = 1 << 26
"""So much may come of any file: sorted labels compress a thousandfold."""

_CHUNK = 1 << 20


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes: ...


def read_exactly(stream: Readable, count: int, file_bytes: int, what: str) -> bytearray:
    """Read so many bytes, after which the stream must end.

    Memory grows with what arrives, whatever ``count`` says.

    Parameters
    ----------
    file_bytes : size of the file that ``stream`` inflates.
    what : names the stream in messages.

    Raises
    ------
    InputError
        There are fewer or more, or they are more than ``MAX_BYTES`` or than such a file holds.
    """
    if count > min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * file_bytes)):
        raise InputError(
            f"{what}: its header promises {count:,} bytes of a file of {file_bytes:,}; "
            f"a data set has at most {MAX_BYTES >> 30} GiB and shrinks {MAX_RATIO}-fold"
        )
    values = bytearray()
    while len(values) < count:
        chunk = stream.read(min(_CHUNK, count - len(values)))
        if not chunk:
            raise InputError(f"{what}: ends after {len(values):,} of {count:,} bytes")
        values += chunk
    if stream.read(1):
        raise InputError(f"{what}: has more than the {count:,} bytes that its header promises")
    return values

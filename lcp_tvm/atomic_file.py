"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lcp_tvm.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes ``path``'s place when the block ends without an error.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    draft = _draft(path)
    try:
        with draft.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """See that `atomic_file` could write a file, before much is computed for it.

    Raises
    ------
    InputError
        It could not.
    """
    draft = _draft(path)
    try:
        draft.open("xb").close()
        draft.unlink()
    except OSError as error:
        raise _refusal(path, error) from error


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _refusal(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be written ({error.strerror or error}); "
        "give a file in a folder that exists and is writable"
    )

"""Trainings on disk: what an interrupted one needs to go on as if it had not been.

"LCPTRAIN" | u8 version | SHA-256 of what follows | torch.save({"facts", "state"})
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.bounded_file import read_bounded
from lcp_tvm.errors import InputError

MAGIC = b"LCPTRAIN\x01"
MOST_BYTES = 4 << 30
State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that holds the newest state of one training.

    Attributes
    ----------
    path : of the file; its folder is made when it is first written.
    facts : what the training was made of, each as text; a state of other facts is refused.
    """

    path: Path
    facts: Mapping[str, str]

    def save(self, state: State) -> None:
        """Replace the file; it is whole or unchanged whenever the process ends."""
        stream = io.BytesIO()
        torch.save({"facts": dict(self.facts), "state": state}, stream)
        body = stream.getbuffer()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path.parent}: cannot be made ({error.strerror})") from error
        with atomic_file(self.path) as file:
            file.write(MAGIC + hashlib.sha256(body).digest())
            file.write(body)

    def load(self) -> State | None:
        """Return the state that was saved last, or None where there is none.

        Raises
        ------
        InputError
            The file is damaged, or belongs to another training; names what differs.
        """
        if not self.path.exists():
            return None
        data = memoryview(read_bounded(self.path, MOST_BYTES))
        begin = len(MAGIC) + hashlib.sha256().digest_size
        body = data[begin:]
        if data[:begin] != MAGIC + hashlib.sha256(body).digest():
            raise InputError(
                f"{self.path}: not a whole checkpoint of this version of lcp-tvm; "
                f"begin anew with --restart"
            )
        saved = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        facts, state = saved["facts"], saved["state"]
        for name in {**self.facts, **facts}:
            if facts.get(name) != self.facts.get(name):
                raise InputError(
                    f"{self.path}: belongs to a training with another {name}; "
                    f"give another -o, or --restart to begin anew"
                )
        return dict(state)

"""A node's peer written from docs/runtime.md alone: a socket that says what a test wants."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcp_tvm.plan.box import Box, box_shape

MAGIC, VERSION = 0x4650434C, 1
FRAME_TASK = 0xFFFFFFFF
SETTLED, POOL = 0xFFFFFFFF, 0xFFFFFFFE
"""The word of a region for tasks of settled place, and for the gateway's pool."""

TIMEOUT_S = 20.0
_HEAD = struct.Struct("<IBBBBQQIIIIQ")


class Kind(enum.IntEnum):
    HELLO = 1
    WELCOME = enum.auto()
    REFUSED = enum.auto()
    PING = enum.auto()
    PONG = enum.auto()
    REGION = enum.auto()
    INPUT = enum.auto()
    BEGIN = enum.auto()
    END = enum.auto()
    FAILED = enum.auto()
    LINK = enum.auto()
    WORK = enum.auto()
    NO_WORK = enum.auto()
    WHO = enum.auto()
    HINT = enum.auto()
    STEAL = enum.auto()
    TASK = enum.auto()
    NO_TASK = enum.auto()
    FETCH = enum.auto()
    POOLED = enum.auto()


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    frame: int
    task: int
    tensor: int
    word: int
    box: Box
    payload: bytes


def message(
    kind: int,
    *,
    run: int,
    frame: int = 0,
    route: int = 0,
    task: int = 0,
    tensor: int = 0,
    word: int = 0,
    box: Box = (),
    payload: bytes = b"",
    **wrong: int,
) -> bytes:
    """Return a message's bytes; ``wrong`` replaces magic, version, ndim, zero or size."""
    head = {"magic": MAGIC, "version": VERSION, "ndim": len(box), "zero": 0, "size": len(payload)}
    head |= wrong
    fixed = _HEAD.pack(
        head["magic"], head["version"], kind, head["ndim"], head["zero"],
        run, frame, route, task, tensor, word, head["size"],
    )  # fmt: skip
    return fixed + b"".join(struct.pack("<II", *side) for side in box) + payload


class RawPeer:
    """A connection to a node, as one of its peers."""

    def __init__(self, port: int, *, run: int, node: int, to: int, version: str) -> None:
        """Connect and say HELLO; `greeting` is what the node answers."""
        self._run = run
        self._line = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.say(Kind.HELLO, task=node, word=to, payload=version.encode())
        self.greeting = self.hear()

    def say(self, kind: int, **fields: Any) -> None:
        self.send(message(kind, run=self._run, **fields))

    def send(self, data: bytes) -> None:
        self._line.sendall(data)

    def hear(self) -> Message:
        """Return the next message.

        Raises
        ------
        ConnectionError
            The node has closed the connection.
        """
        values = _HEAD.unpack(self._read(_HEAD.size))
        kind, ndim, (frame, _, task, tensor, word, size) = values[2], values[3], values[6:]
        sides = struct.unpack(f"<{2 * ndim}I", self._read(8 * ndim))
        box = tuple(zip(sides[::2], sides[1::2], strict=True))
        return Message(kind, frame, task, tensor, word, box, self._read(size))

    def hear_of(self, kinds: Iterable[int], frame: int) -> Message:
        """Return the next message of these kinds about a frame; answer PINGs meanwhile."""
        while True:
            heard = self.hear()
            if heard.kind == Kind.PING:
                self.say(Kind.PONG, payload=bytes(8))
            elif heard.kind in kinds and heard.frame == frame:
                return heard

    def is_closed(self) -> bool:
        """Whether the node closes the connection, within the timeout."""
        try:
            while True:
                self.hear()
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._line.recv(size - len(data))
            if not piece:
                raise ConnectionError("the node has closed the connection")
            data += piece
        return data


def elements(heard: Message, dtype: str) -> np.ndarray:
    """Return a region's elements."""
    return np.frombuffer(heard.payload, dtype).reshape(box_shape(heard.box))

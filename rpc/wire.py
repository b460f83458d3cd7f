"""The frames of TVM RPC that come before a session: handshake and tracker.

A client sends magic, key length and key; the server answers with a code, and on success with its
own key in the same form. The tracker takes length-prefixed JSON. All integers are 32-bit little
endian. Lengths from outside are bounded before anything is allocated.
"""

from __future__ import annotations

import json
import socket
import struct
from enum import IntEnum
from typing import Any

MAGIC = 0xFF271
TRACKER_MAGIC = 0x2F271
MAX_KEY = 1 << 10
MAX_JSON = 1 << 20


class Reply(IntEnum):
    """What a server answers to a handshake."""

    WELCOME = MAGIC
    BUSY = MAGIC + 1
    WRONG_KEY = MAGIC + 2


class TrackerCode(IntEnum):
    """Requests a server makes of the tracker, and its answer."""

    SUCCESS = 0
    PUT = 3
    UPDATE_INFO = 5
    SUMMARY = 6
    GET_PENDING_MATCHKEYS = 7


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes.

    Raises
    ------
    ConnectionError
        The peer closed early.
    """
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError(f"the peer closed after {len(data)} of {size} bytes")
        data += chunk
    return bytes(data)


def _read_int(connection: socket.socket) -> int:
    return int(struct.unpack("<i", read_exactly(connection, 4))[0])


def _read_sized(connection: socket.socket, limit: int) -> bytes:
    size = _read_int(connection)
    if not 0 <= size <= limit:
        raise ConnectionError(f"the peer announced {size} bytes, at most {limit} are allowed")
    return read_exactly(connection, size)


def read_client_key(connection: socket.socket) -> str:
    """Read a client's handshake: the first word of its key, without ``client:``.

    Raises
    ------
    ConnectionError
        It is no TVM RPC client, or closed early.
    """
    if _read_int(connection) != MAGIC:
        raise ConnectionError("the peer does not speak TVM RPC")
    words = _read_sized(connection, MAX_KEY).decode("utf-8", "replace").split()
    if not words or not words[0].startswith("client:"):
        raise ConnectionError("the peer is no TVM RPC client")
    return words[0].removeprefix("client:")


def refuse(connection: socket.socket, reply: Reply) -> None:
    """Turn a client away."""
    connection.sendall(struct.pack("<i", reply))


def welcome(connection: socket.socket, key: str) -> None:
    """Accept a client: what follows is the session."""
    name = f"server:{key}".encode()
    connection.sendall(struct.pack("<ii", Reply.WELCOME, len(name)) + name)


class Tracker:
    """A connection to a TVM RPC tracker, where a server offers itself under a key."""

    def __init__(self, address: tuple[str, int], key: str, port: int, timeout: float) -> None:
        """Connect and introduce the server.

        Raises
        ------
        OSError
            The tracker is not there, or is no tracker.
        """
        self._connection = socket.create_connection(address, timeout)
        self._key, self._port = key, port
        # The address other hosts reach this one by is the one the tracker is reached from.
        self._host = self._connection.getsockname()[0]
        self._connection.sendall(struct.pack("<i", TRACKER_MAGIC))
        if _read_int(self._connection) != TRACKER_MAGIC:
            raise ConnectionError(f"{address[0]}:{address[1]} is no TVM RPC tracker")
        self._ask(TrackerCode.UPDATE_INFO, {"key": f"server:{key}", "addr": [self._host, port]})

    def offer(self, match_key: str) -> None:
        """Let the next client that asks for this key have ``match_key``."""
        self._ask(TrackerCode.PUT, self._key, [self._port, match_key], self._host)

    def is_pending(self, match_key: str) -> bool:
        """Whether no client was given ``match_key`` yet."""
        return match_key in self._ask(TrackerCode.GET_PENDING_MATCHKEYS)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, code: TrackerCode, *arguments: object) -> Any:
        data = json.dumps([int(code), *arguments]).encode()
        self._connection.sendall(struct.pack("<i", len(data)) + data)
        try:
            answer = json.loads(_read_sized(self._connection, MAX_JSON))
        except ValueError as error:
            raise ConnectionError(f"the tracker's answer is no JSON: {error}") from error
        if code is not TrackerCode.GET_PENDING_MATCHKEYS and answer != TrackerCode.SUCCESS:
            raise ConnectionError(f"the tracker refused {code.name}: {answer}")
        return answer


def servers_of(address: tuple[str, int], timeout: float) -> list[tuple[str, str, int]]:
    """Ask a tracker for its servers: key, host and port of each.

    Raises
    ------
    OSError
        The tracker is not there, or is no tracker.
    """
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(struct.pack("<i", TRACKER_MAGIC))
        if _read_int(connection) != TRACKER_MAGIC:
            raise ConnectionError("it is no TVM RPC tracker")
        data = json.dumps([int(TrackerCode.SUMMARY)]).encode()
        connection.sendall(struct.pack("<i", len(data)) + data)
        text = _read_sized(connection, MAX_JSON)
    try:
        rows = json.loads(text)[1]["server_info"]
        return [(str(r["key"]), str(r["addr"][0]), int(r["addr"][1])) for r in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise ConnectionError(f"its answer is not understood: {error}") from error

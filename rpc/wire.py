"""What a TVM RPC tracker is asked by those who look for workers.

It takes length-prefixed JSON after a magic number; integers are 32-bit little endian. Lengths from
outside are bounded before anything is allocated. What workers say to it is in
``native/agent/tracker.h``.
"""

from __future__ import annotations

import json
import socket
import struct

TRACKER_MAGIC = 0x2F271
SUMMARY = 6
MAX_JSON = 1 << 20


def _read_exactly(connection: socket.socket, size: int) -> bytes:
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
    return int(struct.unpack("<i", _read_exactly(connection, 4))[0])


def _read_sized(connection: socket.socket, limit: int) -> bytes:
    size = _read_int(connection)
    if not 0 <= size <= limit:
        raise ConnectionError(f"the peer announced {size} bytes, at most {limit} are allowed")
    return _read_exactly(connection, size)


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
        data = json.dumps([SUMMARY]).encode()
        connection.sendall(struct.pack("<i", len(data)) + data)
        text = _read_sized(connection, MAX_JSON)
    try:
        rows = json.loads(text)[1]["server_info"]
        return [(str(r["key"]), str(r["addr"][0]), int(r["addr"][1])) for r in rows]
    except (ValueError, LookupError, TypeError) as error:
        raise ConnectionError(f"its answer is not understood: {error}") from error

"""Handshake and tracker frames: bounded, and refused when they are not what they should be."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.errors import InputError
from lcp_tvm.rpc.address import parse_address
from lcp_tvm.rpc.wire import (
    MAGIC,
    MAX_KEY,
    TRACKER_MAGIC,
    Tracker,
    TrackerCode,
    read_client_key,
    welcome,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.settimeout(5)
        yield ours, theirs


def hello(key: bytes, magic: int = MAGIC) -> bytes:
    return struct.pack("<ii", magic, len(key)) + key


@pytest.mark.parametrize(("key", "expected"), [(b"client:", ""), (b"client:a:1 -timeout=3", "a:1")])
def test_a_client_says_its_key(
    pair: tuple[socket.socket, socket.socket], key: bytes, expected: str
) -> None:
    pair[1].sendall(hello(key))
    assert read_client_key(pair[0]) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak TVM RPC"),
        (hello(b"server:x"), "no TVM RPC client"),
        (struct.pack("<ii", MAGIC, MAX_KEY + 1), "announced 1025 bytes"),
        (struct.pack("<ii", MAGIC, -1), "announced -1 bytes"),
        (hello(b"client:")[:-3], "closed after 4 of 7 bytes"),
        (b"", "closed after 0 of 4 bytes"),
    ],
)
def test_what_is_no_client_is_refused(
    pair: tuple[socket.socket, socket.socket], data: bytes, reason: str
) -> None:
    pair[1].sendall(data)
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match=reason):
        read_client_key(pair[0])


@given(data=st.binary(max_size=40), magic=st.booleans())
def test_random_bytes_are_a_key_or_an_error(data: bytes, magic: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((struct.pack("<i", MAGIC) if magic else b"") + data)
        theirs.shutdown(socket.SHUT_WR)
        try:
            key = read_client_key(ours)
        except ConnectionError:
            return
        assert b"client:" + key.encode() in data


def test_welcome_is_code_and_key(pair: tuple[socket.socket, socket.socket]) -> None:
    welcome(pair[0], "lcp")
    assert pair[1].recv(100) == struct.pack("<ii", MAGIC, 10) + b"server:lcp"


def test_a_tracker_is_told_who_and_where() -> None:
    """Magic, then the server's information, then the key of the next session."""
    requests: list[object] = []

    def track(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            assert struct.unpack("<i", connection.recv(4)) == (TRACKER_MAGIC,)
            connection.sendall(struct.pack("<i", TRACKER_MAGIC))
            for answer in (0, 0, ["lcp-sim:1"]):
                (size,) = struct.unpack("<i", connection.recv(4))
                requests.append(json.loads(connection.recv(size)))
                data = json.dumps(answer).encode()
                connection.sendall(struct.pack("<i", len(data)) + data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=track, args=(listener,))
        thread.start()
        tracker = Tracker(listener.getsockname(), "lcp-sim", 9090, 5.0)
        tracker.offer("lcp-sim:1")
        assert tracker.is_pending("lcp-sim:1")
        tracker.close()
        thread.join()
    assert requests == [
        [TrackerCode.UPDATE_INFO, {"key": "server:lcp-sim", "addr": ["127.0.0.1", 9090]}],
        [TrackerCode.PUT, "lcp-sim", [9090, "lcp-sim:1"], "127.0.0.1"],
        [TrackerCode.GET_PENDING_MATCHKEYS],
    ]


@pytest.mark.parametrize(("text", "address"), [("a:1", ("a", 1)), (" [::1]:9090 ", ("::1", 9090))])
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", ":9", "host:", "host:x", "host:0", "host:65536"])
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(InputError, match="address"):
        parse_address(text)

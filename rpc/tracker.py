"""TVM's RPC tracker, in this process."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable

from tvm.rpc.tracker import TrackerServerHandler

from lcp_tvm.errors import InputError
from lcp_tvm.rpc.address import check_host

READY_LINE = "lcp-tvm tracker listening on"
"""Printed with ``HOST:PORT`` once the port listens."""


def serve(host: str, port: int, *, on_ready: Callable[[str, int], None]) -> None:
    """Run a tracker until SIGTERM or SIGINT.

    Parameters
    ----------
    port : 0 for one that the system assigns.
    on_ready : called with host and port once the port listens.

    Raises
    ------
    InputError
        The address cannot be bound.
    """
    check_host(host)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"tracker: cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another --host or --port (0: a free one)"
        ) from error
    with listener:
        asyncio.run(_serve(listener, lambda: on_ready(host, listener.getsockname()[1])))


async def _serve(listener: socket.socket, on_ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    tracker = TrackerServerHandler(listener, secrets.token_hex(16))
    on_ready()
    await ended.wait()
    loop.remove_reader(listener.fileno())
    for connection in list(tracker._connections):
        connection.close()


def print_ready(host: str, port: int) -> None:
    """Print the line that says where a tracker listens."""
    print(f"{READY_LINE} {host}:{port}", flush=True)

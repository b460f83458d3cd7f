"""Connections between nodes that pass through a proxy, which can cut them in mid-message."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from lcp_tvm.rpc.control import Node
from lcp_tvm.rpc.crew import Crew

PIECE = 1 << 16


class Proxy:
    """Forwards connections to a port of this machine; counts bytes, and cuts when told to.

    Attributes
    ----------
    turns : how often another end has begun to speak.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._left: int | None = None
        self._threads: list[threading.Thread] = []
        self.cuts = 0
        self.turns = 0
        self._last: socket.socket | None = None
        self._run(self._accept)

    def cut_after(self, count: int) -> None:
        """Cut all connections once so many more bytes have passed; once only."""
        with self._lock:
            self._left = count

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._cut()
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *(end for pair in self._pairs for end in pair)):
            end.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((near, far))
            self._run(self._forward, near, far)
            self._run(self._forward, far, near)

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                allowed, cut = self._allow(source, len(data))
                target.sendall(data[:allowed])
                if cut:
                    self._cut()
                    return
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _allow(self, source: socket.socket, size: int) -> tuple[int, bool]:
        with self._lock:
            self.turns += source is not self._last
            self._last = source
            if self._left is None or size < self._left:
                if self._left is not None:
                    self._left -= size
                return size, False
            allowed, self._left = self._left, None
            self.cuts += 1
            return allowed, True

    def _cut(self) -> None:
        with self._lock:
            ends = [end for pair in self._pairs for end in pair]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class ProxiedNode(Node):
    """A node that its peers only reach through a proxy.

    Attributes
    ----------
    ports : where it has listened itself; the last one is where it listens now.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.ports: list[int] = []
        self.proxies: list[Proxy] = []

    def call(self, function: str, *arguments: object, **options: Any) -> Any:
        return self._node.call(function, *arguments, **options)

    def tensor(self, array: Any) -> Any:
        return self._node.tensor(array)

    def cut(self) -> None:
        self._node.cut()

    def close(self) -> None:
        self._node.close()

    def prepare(self, program: str) -> int:
        self.ports.append(super().prepare(program))
        self.proxies.append(Proxy(self.ports[-1]))
        return self.proxies[-1].port


class ProxiedCrew(contextlib.AbstractContextManager[Crew]):
    """A crew of which one node is behind a proxy, as long as that is not restored."""

    def __init__(self, crew: contextlib.AbstractContextManager[Crew], number: int) -> None:
        self._crew = crew
        self._number = number

    def __enter__(self) -> Crew:
        crew = self._crew.__enter__()
        self.node = ProxiedNode(crew.nodes[self._number])
        crew.nodes[self._number] = self.node
        return crew

    def __exit__(self, *error: Any) -> None:
        for proxy in self.node.proxies:
            proxy.close()
        self._crew.__exit__(*error)

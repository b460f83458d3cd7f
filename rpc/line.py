"""The TCP connection that TVM opens for a session and keeps to itself, made ours to cut.

A thread inside a TVM RPC call sits in ``recv`` for as long as the peer keeps quiet. Closing the
session under it frees memory that it goes on to use, and does not even tell the peer. Shutting
the socket down does both well: the call fails, and the peer sees us leave.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

_OPEN_FILES = Path("/proc/self/fd")


def resolve(host: str, port: int) -> tuple[str, int]:
    """Return the IP address and port that a host's name stands for.

    Raises
    ------
    OSError
        The name is unknown.
    """
    name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    return str(name[0]), int(name[1])


class Line:
    """The sockets to one peer that were opened since this object was made."""

    def __init__(self, peer: tuple[str, int]) -> None:
        """``peer`` is an IP address and a port, as `resolve` gives them."""
        self._peer = peer
        self._others = frozenset(inode for inode, _ in _sockets())
        self._own: frozenset[int] | None = None
        self.is_cut = False

    def settle(self) -> None:
        """Take what is connected now for the session's; later sockets are somebody else's."""
        own = set()
        for inode, descriptor in _sockets():
            if inode not in self._others and _peer_of(descriptor, inode) == self._peer:
                own.add(inode)
        self._own = frozenset(own)

    def cut(self) -> None:
        """Shut the session's socket down; a call under way fails, a later one too."""
        self.is_cut = True
        if self._own is None:
            self.settle()
        for inode, descriptor in _sockets():
            if inode in (self._own or ()):
                _shut_down(descriptor, inode)


def _sockets() -> Iterator[tuple[int, int]]:
    """Inode and descriptor of each open socket; an inode stands for one socket while it lives."""
    for entry in os.listdir(_OPEN_FILES):
        try:
            facts = os.fstat(int(entry))
        except OSError:  # closed since the folder was read
            continue
        if stat.S_ISSOCK(facts.st_mode):
            yield facts.st_ino, int(entry)


def _peer_of(descriptor: int, inode: int) -> tuple[str, int] | None:
    held = _hold(descriptor, inode)
    if held is None:
        return None
    with held:
        try:
            name = held.getpeername()
        except OSError:  # not connected yet, or no longer
            return None
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def _shut_down(descriptor: int, inode: int) -> None:
    held = _hold(descriptor, inode)
    if held is None:
        return
    with held:
        try:
            held.shutdown(socket.SHUT_RDWR)
        except OSError:  # the peer was faster
            return


def _hold(descriptor: int, inode: int) -> socket.socket | None:
    """A descriptor of our own for a socket, None when its number stands for another by now."""
    try:
        held = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None
    if os.fstat(held.fileno()).st_ino != inode:
        held.close()
        return None
    return held

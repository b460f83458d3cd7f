"""``HOST:PORT``."""

from __future__ import annotations

from lcp_tvm.errors import InputError

Address = tuple[str, int]


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``; an IPv6 host stands in brackets.

    Raises
    ------
    InputError
        Not of that form, or the port is not 1 to 65535.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise InputError(f"address {text!r}: must be HOST:PORT, for example 192.168.2.99:9090")
    check_host(host)
    if not 1 <= int(port) <= 65535:
        raise InputError(f"address {text!r}: the port must be 1 to 65535")
    return host, int(port)


def check_host(host: str) -> None:
    """See that a host's name is one.

    Raises
    ------
    InputError
        A part between its dots is empty or too long.
    """
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise InputError(f"host {host[:60]!r}: a part of its name is empty or too long") from error

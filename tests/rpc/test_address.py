"""``HOST:PORT``."""

from __future__ import annotations

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.rpc.address import parse_address


@pytest.mark.parametrize(("text", "address"), [("a:1", ("a", 1)), (" [::1]:9090 ", ("::1", 9090))])
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", ":9", "host:", "host:x", "host:0", "host:65536"])
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(InputError, match="address"):
        parse_address(text)


@pytest.mark.parametrize("host", ["192.168..1", "a" * 64, f"b.{'a' * 64}.c"])
def test_names_that_no_host_has(host: str) -> None:
    with pytest.raises(InputError, match=f"host '{host[:60]}.*': a part of its name is empty or"):
        parse_address(f"{host}:9090")

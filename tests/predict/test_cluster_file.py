"""Cluster files: those we ship, and every way to get one wrong."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from lcp_tvm.errors import InputError
from lcp_tvm.predict.cluster import Cluster, Device, Jitter, Network, resized
from lcp_tvm.predict.cluster_file import MAX_FILE_BYTES, load_cluster, parse_cluster
from lcp_tvm.predict.kinds import KINDS
from tests.predict.small import cluster

EXAMPLES = Path(__file__).parents[2] / "examples" / "clusters"
PAPER = Network("shared", bandwidth_mbit=62.24, latency_ms=8.83, hops=2)

WHOLE = """
name = "two kinds"
sources = [2, 0]

[[devices]]
kind = "rpi3"
count = 2
cores = 1

[[devices]]
name = "fast"
kind = "rpi4"
clock_mhz = 1800
memory_mb = 8192
speed = 1.5

[gateway]
kind = "x86"

[network]
medium = "switched"
bandwidth_mbit = 100
latency_ms = 0.5

[network.jitter]
distribution = "lognormal"
median_ms = 0.2
sigma = 1.0
"""

SMALL = """
[[devices]]
kind = "rpi3"

[network]
medium = "shared"
bandwidth_mbit = 62.24
"""


def parse(text: str) -> Cluster:
    return parse_cluster(tomllib.loads(text), "c.toml")


def test_every_entry() -> None:
    rpi3, rpi4, x86 = KINDS["rpi3"], KINDS["rpi4"], KINDS["x86"]
    assert parse(WHOLE) == Cluster(
        name="two kinds",
        devices=(
            Device("rpi3-0", rpi3, 1, rpi3.clock_mhz, rpi3.memory_mb),
            Device("rpi3-1", rpi3, 1, rpi3.clock_mhz, rpi3.memory_mb),
            Device("fast-2", rpi4, rpi4.cores, 1800, 8192, 1.5),
        ),
        network=Network("switched", 100, 0.5, 1, Jitter("lognormal", 0.2, 1.0)),
        gateway=Device("gateway", x86, x86.cores, x86.clock_mhz, x86.memory_mb),
        sources=(2, 0),
    )


def test_addresses_of_workers() -> None:
    """One text for a device, a list for several."""
    text = WHOLE.replace('kind = "x86"', 'kind = "x86"\naddress = "g:9090"')
    text = text.replace("count = 2", 'count = 2\naddress = ["a:1", "b:2"]')
    found = parse(text)
    assert [device.address for device in found.devices] == ["a:1", "b:2", ""]
    assert found.gateway is not None
    assert found.gateway.address == "g:9090"


@pytest.mark.parametrize("value", ['"a:1"', '["a:1"]', '["a:1", ""]', '["a:1", 2]', "7"])
def test_addresses_that_are_not_one_for_each(value: str) -> None:
    with pytest.raises(InputError, match=r"address is .*, not a list of 2 HOST:PORT"):
        parse(WHOLE.replace("count = 2", f"count = 2\naddress = {value}"))


def test_what_may_be_left_out() -> None:
    found = parse(SMALL)
    assert (found.name, found.gateway, found.sources) == ("cluster", None, (0,))
    assert found.network == Network("shared", 62.24, 0.0, 1, Jitter())
    assert (found.machines, found.gateway_number) == (found.devices, 0)


@pytest.mark.parametrize(
    ("name", "kinds", "network"),
    [
        ("rpi3", ["rpi3"] * 10, PAPER),
        ("deepthings-6", ["rpi3"] * 7, PAPER),
        ("pynq-2", ["pynq_z1"] * 2, Network("switched", 1000, 0.3)),
        ("pynq-2-pc", ["pynq_z1"] * 2 + ["x86"], Network("switched", 1000, 0.3)),
        ("t2-micro-8", ["t2.micro"] * 8, None),
        ("mixed-8", ["rpi3"] * 5 + ["rpi4"] * 2 + ["pynq_z1", "x86"], None),
    ],
)
def test_examples(name: str, kinds: list[str], network: Network | None) -> None:
    found = load_cluster(EXAMPLES / f"{name}.toml")
    assert found.name == name
    assert [machine.kind.name for machine in found.machines] == kinds
    assert network is None or found.network == network


def test_deepthings_holds_its_edge_devices_to_one_core() -> None:
    found = load_cluster(EXAMPLES / "deepthings-6.toml")
    assert [device.cores for device in found.devices] == [1] * 6
    assert found.gateway_number == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = 2", "coutn = 2", r"devices\[0\]: unknown key 'coutn'; did you mean 'count'\?"),
        ("count = 2", "count = 0", r"devices\[0\]: count is 0, not a whole number from 1 to 1024"),
        ("count = 2", "count = 2.0", "count is 2.0, not a whole number"),
        ("count = 2", "count = true", "count is True, not a whole number"),
        ("count = 2", "count = 1024", "more than 1024 devices"),
        ("cores = 1", "cores = 5", "cores is 5, not a whole number from 1 to 4"),
        ('"rpi3"', '"rip3"', r"kind is 'rip3', which is unknown; did you mean 'rpi3'\?"),
        ('"rpi3"', '"toaster"', "unknown; allowed are rpi3, rpi4, pynq_z1, t2.micro, x86"),
        ('"rpi3"', "3", "kind is 3, which is unknown"),
        ('kind = "x86"', "", "gateway: key 'kind' is missing"),
        ('"fast"', '""', "name is '', not 1 to 64 printable characters"),
        ('"fast"', '"\\u0007"', "not 1 to 64 printable characters"),
        ("speed = 1.5", "speed = 0", r"devices\[1\]: speed is 0, not a number from 0.001 to 1000"),
        ("speed = 1.5", "speed = nan", "speed is nan, not a number"),
        ("speed = 1.5", f"speed = 1{'0' * 400}", "not a number from 0.001 to 1000"),
        ("speed = 1.5", f"speed = 0x{'f' * 5000}", "speed is a huge number, not a number from"),
        ('"rpi3"', f"0x{'f' * 5000}", "kind is a huge number, which is unknown; allowed are rpi3"),
        ('kind = "x86"', 'kind = "x86"\nname = "rpi3-0"', "gateway: name 'rpi3-0' is a device's"),
        ("[2, 0]", f"[0x{'f' * 5000}]", "source a huge number is not a device"),
        ("clock_mhz = 1800", "clock_mhz = '2G'", "clock_mhz is '2G', not a number"),
        ("switched", "wifi", "medium is 'wifi', which is unknown; allowed are shared, switched"),
        ("bandwidth_mbit = 100", "", "network: key 'bandwidth_mbit' is missing"),
        ("bandwidth_mbit = 100", "bandwidth_mbit = 0", "bandwidth_mbit is 0, not a number"),
        ("latency_ms = 0.5", "hops = 0", "hops is 0, not a whole number from 1 to 16"),
        ("lognormal", "normal", r"network.jitter: distribution is 'normal'.*mean 'lognormal'\?"),
        ("sigma = 1.0", "mean_ms = 1", r"jitter \(lognormal\): unknown key 'mean_ms'"),
        ("sigma = 1.0", "", r"jitter \(lognormal\): key 'sigma' is missing"),
        ("[2, 0]", "[3]", "source 3 is not a device; they are 0 to 2"),
        ("[2, 0]", "[]", "sources is .*, not a list of different device numbers"),
        ("[2, 0]", "[1, 1]", "sources is .*, not a list of different device numbers"),
        ("[2, 0]", "[true]", "sources is .*, not a list of different device numbers"),
    ],
)
def test_refusals(old: str, new: str, message: str) -> None:
    assert old in WHOLE
    with pytest.raises(InputError, match=f"^c.toml.*{message}"):
        parse(WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "key 'devices' is missing"),
        ({"devices": []}, r"devices is not a list of tables; write \[\[devices\]\]"),
        ({"devices": {"kind": "rpi3"}}, r"devices is not a list of tables"),
        ({"devices": [{"kind": "rpi3"}]}, "key 'network' is missing"),
        ({"devices": [{"kind": "rpi3"}], "network": 1}, r"not a table; write \[network\]"),
        ({"device": []}, "unknown key 'device'; did you mean 'devices'"),
    ],
)
def test_missing_tables(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_cluster(values, "c.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = ", "not TOML"),
        (b"\xff", "not TOML"),
        (b"a = 1" + b"0" * 5000, "not TOML"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than 65536 bytes, so not a cluster"),
        (b"a = " + b"[" * 60000, "not TOML"),
    ],
)
def test_files_that_are_none(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_cluster(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.toml: cannot be read"):
        load_cluster(tmp_path / "no.toml")


def test_fewer_devices_are_the_first_ones() -> None:
    found = resized(load_cluster(EXAMPLES / "mixed-8.toml"), 4)
    assert [device.name for device in found.devices] == [
        "rpi3-0",
        "rpi3-1",
        "rpi3-2",
        "rpi3-small-3",
    ]


def test_more_devices_repeat_those_there_are() -> None:
    found = resized(parse(WHOLE), 5)
    names = ["rpi3-0", "rpi3-1", "fast-2", "rpi3-3", "rpi3-4"]
    assert [device.name for device in found.devices] == names
    assert found.devices[3] == replace(found.devices[0], name="rpi3-3")


def test_sources_beyond_the_devices_fall_away() -> None:
    assert resized(parse(WHOLE), 2).sources == (0,)
    with pytest.raises(InputError, match=r"come from device 2, .* ask for at least 3 devices"):
        resized(cluster(3, sources=(2,)), 2)

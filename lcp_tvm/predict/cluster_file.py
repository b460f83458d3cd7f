"""Clusters as people write them: a TOML file, every entry checked."""

from __future__ import annotations

import reprlib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from lcp_tvm.errors import InputError
from lcp_tvm.predict.cluster import Cluster, Device, Distribution, Jitter, Medium, Network
from lcp_tvm.predict.kinds import KINDS

MAX_FILE_BYTES = 1 << 16
MAX_DEVICES = 1024
_TOP = ("name", "sources", "devices", "gateway", "network")
_DEVICE = ("name", "kind", "cores", "clock_mhz", "memory_mb", "speed", "address")
_NETWORK = ("medium", "bandwidth_mbit", "latency_ms", "hops", "jitter")
_JITTER: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "uniform": ("max_ms",),
    "exponential": ("mean_ms",),
    "lognormal": ("median_ms", "sigma"),
}


def load_cluster(path: Path) -> Cluster:
    """Read a cluster from a TOML file.

    Raises
    ------
    InputError
        The file cannot be read, or an entry is unknown, missing, or of the wrong type or range.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: larger than {MAX_FILE_BYTES} bytes, so not a cluster")
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not TOML ({error})") from error
    return parse_cluster(values, str(path), path.stem)


def parse_cluster(values: Mapping[str, object], where: str, name: str = "cluster") -> Cluster:
    """Check the tables of a cluster.

    Parameters
    ----------
    values : as in the file.
    where : what they were read from, for messages.
    name : when the file gives none.
    """
    top = _Table(values, where, _TOP)
    devices: list[Device] = []
    for number, entry in enumerate(top.tables("devices")):
        table = _Table(entry, f"{where}: devices[{number}]", (*_DEVICE, "count"))
        count = table.integer("count", 1, MAX_DEVICES, default=1)
        if len(devices) + count > MAX_DEVICES:
            raise InputError(f"{where}: more than {MAX_DEVICES} devices")
        prefix = table.text("name", default=table.choice("kind", KINDS))
        addresses = _addresses(table, count)
        devices += [
            _device(table, f"{prefix}-{len(devices) + i}", addresses[i]) for i in range(count)
        ]
    gateway = None
    if "gateway" in values:
        table = _Table(top.table("gateway"), f"{where}: gateway", _DEVICE)
        gateway = _device(table, table.text("name", default="gateway"), *_addresses(table, 1))
        if gateway.name in {device.name for device in devices}:
            raise InputError(f"{table.where}: name {gateway.name!r} is a device's; give another")
    return Cluster(
        name=top.text("name", default=name),
        devices=tuple(devices),
        network=_network(_Table(top.table("network"), f"{where}: network", _NETWORK)),
        gateway=gateway,
        sources=_sources(values.get("sources", [0]), len(devices), where),
    )


def _addresses(table: _Table, count: int) -> list[str]:
    """Return where the workers of some devices listen: one text, or a list of one for each."""
    if "address" not in table.values:
        return [""] * count
    value = table.values["address"]
    if not isinstance(value, list) and count == 1:
        return [table.text("address")]
    texts = [v for v in value if isinstance(v, str) and v] if isinstance(value, list) else []
    if len(texts) != count or texts != value:
        raise InputError(
            f"{table.where}: address is {_shown(value)}, not a list of {count} HOST:PORT, one for "
            "each of count"
        )
    return texts


def _device(table: _Table, name: str, address: str) -> Device:
    kind = KINDS[table.choice("kind", KINDS)]
    return Device(
        name=name,
        kind=kind,
        cores=table.integer("cores", 1, kind.cores, default=kind.cores),
        clock_mhz=table.number("clock_mhz", 1, 1e5, default=kind.clock_mhz),
        memory_mb=table.number("memory_mb", 1, 1e7, default=kind.memory_mb),
        speed=table.number("speed", 1e-3, 1e3, default=1.0),
        address=address,
    )


def _network(table: _Table) -> Network:
    jitter = Jitter()
    if "jitter" in table.values:
        jitter = _jitter(table.table("jitter"), f"{table.where}.jitter")
    return Network(
        medium=cast(Medium, table.choice("medium", ("shared", "switched"))),
        bandwidth_mbit=table.number("bandwidth_mbit", 1e-3, 1e6),
        latency_ms=table.number("latency_ms", 0, 1e5, default=0.0),
        hops=table.integer("hops", 1, 16, default=1),
        jitter=jitter,
    )


def _jitter(values: Mapping[str, object], where: str) -> Jitter:
    every = ("distribution", *{key: None for keys in _JITTER.values() for key in keys})
    name = _Table(values, where, every).choice("distribution", _JITTER)
    keys = _JITTER[name]
    table = _Table(values, f"{where} ({name})", ("distribution", *keys))
    scale = table.number(keys[0], 0, 1e5) if keys else 0.0
    sigma = table.number("sigma", 0, 5) if "sigma" in keys else 0.0
    return Jitter(cast(Distribution, name), scale, sigma)


def _sources(value: object, count: int, where: str) -> tuple[int, ...]:
    numbers = [v for v in value if type(v) is int] if isinstance(value, list) else []
    if not numbers or numbers != value or len(set(numbers)) < len(numbers):
        raise InputError(
            f"{where}: sources is {_shown(value)}, not a list of different device numbers"
        )
    for number in numbers:
        if not 0 <= number < count:
            raise InputError(
                f"{where}: source {_shown(number)} is not a device; they are 0 to {count - 1}"
            )
    return tuple(numbers)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, its keys checked; ``where`` begins every message."""

    values: Mapping[str, object]
    where: str
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        for key in self.values:
            if key not in self.keys:
                hint = _closest(key, self.keys)
                raise InputError(f"{self.where}: unknown key {key!r}; {hint}")

    def table(self, key: str) -> Mapping[str, object]:
        """Return a table inside this one."""
        value = self._required(key)
        if not isinstance(value, dict):
            raise InputError(f"{self.where}: {key} is {_shown(value)}, not a table; write [{key}]")
        return value

    def tables(self, key: str) -> list[dict[str, object]]:
        """Return a list of at least one table."""
        value = self._required(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            raise InputError(f"{self.where}: {key} is not a list of tables; write [[{key}]]")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string of 1 to 64 printable characters."""
        value = self._required(key, default)
        if not isinstance(value, str) or not 0 < len(value) <= 64 or not value.isprintable():
            raise InputError(
                f"{self.where}: {key} is {_shown(value)}, not 1 to 64 printable characters"
            )
        return value

    def choice(self, key: str, choices: Collection[str]) -> str:
        """Return one of some strings."""
        value = self._required(key)
        if not isinstance(value, str) or value not in choices:
            hint = _closest(value if isinstance(value, str) else "", choices)
            raise InputError(f"{self.where}: {key} is {_shown(value)}, which is unknown; {hint}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a finite number within bounds."""
        value = self._required(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= cast(float, value) <= high:
            raise InputError(
                f"{self.where}: {key} is {_shown(value)}, not a number from {low:g} to {high:g}"
            )
        return float(cast(float, value))

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number within bounds."""
        value = self._required(key, default)
        if type(value) is not int or not low <= value <= high:
            raise InputError(
                f"{self.where}: {key} is {_shown(value)}, not a whole number from {low} to {high}"
            )
        return value

    def _required(self, key: str, default: Any = None) -> object:
        value = self.values.get(key, default)
        if value is None:
            raise InputError(f"{self.where}: key {key!r} is missing")
        return value


def _shown(value: object) -> str:
    """Return a value for a message, cut where it is long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a number of more digits than Python prints
        return "a huge number"


def _closest(word: str, known: Collection[str]) -> str:
    """Return a hint at what may have been meant."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(known)}"

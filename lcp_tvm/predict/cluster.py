"""A cluster: devices, the gateway, and the network between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal

from lcp_tvm.errors import InputError
from lcp_tvm.predict.kinds import Kind

Medium = Literal["shared", "switched"]
Distribution = Literal["none", "uniform", "exponential", "lognormal"]


@dataclass(frozen=True, slots=True)
class Device:
    """A machine that computes.

    Attributes
    ----------
    cores : that a task uses.
    clock_mhz : rates scale with it.
    memory_mb : in MiB.
    speed : factor on everything else, for boards that are faster or slower than their kind.
    address : ``HOST:PORT`` of its worker; empty for one that nobody has.
    """

    name: str
    kind: Kind
    cores: int
    clock_mhz: float
    memory_mb: float
    speed: float = 1.0
    address: str = ""


@dataclass(frozen=True, slots=True)
class Jitter:
    """What is added at random to the latency of a message.

    Attributes
    ----------
    scale_ms : the maximum of ``uniform``, the mean of ``exponential``, the median of ``lognormal``.
    sigma : of the logarithm, ``lognormal`` alone.
    """

    distribution: Distribution = "none"
    scale_ms: float = 0.0
    sigma: float = 0.0


@dataclass(frozen=True, slots=True)
class Network:
    """What carries messages.

    Attributes
    ----------
    medium : ``shared`` carries one message at a time (WiFi); ``switched`` has full-duplex ports.
    bandwidth_mbit : million bits per second of the medium or of a port.
    latency_ms : from the end of a message's transmission to its arrival; others go on meanwhile.
    hops : how often a message takes the air; 2 when an access point repeats it.
    """

    medium: Medium
    bandwidth_mbit: float
    latency_ms: float = 0.0
    hops: int = 1
    jitter: Jitter = Jitter()

    def air_ms(self, nbytes: int) -> float:
        """Time that a message occupies the medium or a port."""
        return nbytes * 8e-3 * self.hops / self.bandwidth_mbit


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines and their network.

    Attributes
    ----------
    gateway : the machine that only collects and merges; None makes device 0 the gateway too.
    sources : numbers of the devices that frames come from, in turn.
    """

    name: str
    devices: tuple[Device, ...]
    network: Network
    gateway: Device | None = None
    sources: tuple[int, ...] = (0,)

    @property
    def machines(self) -> tuple[Device, ...]:
        """The devices, and after them a gateway of its own."""
        return self.devices if self.gateway is None else (*self.devices, self.gateway)

    @property
    def gateway_number(self) -> int:
        """Where the gateway is among the machines."""
        return 0 if self.gateway is None else len(self.devices)


def resized(cluster: Cluster, count: int) -> Cluster:
    """Return the cluster with its first ``count`` devices, or with more of the same in turn.

    Raises
    ------
    InputError
        No source of frames is among them.
    """
    devices = tuple(
        replace(device, name=_numbered(device.name, number))
        for number, device in enumerate(islice(cycle(cluster.devices), count))
    )
    sources = tuple(source for source in cluster.sources if source < count)
    if not sources:
        listed = ", ".join(map(str, cluster.sources))
        raise InputError(
            f"cluster {cluster.name}: frames come from device {listed}, which is not among the "
            f"first {count}; ask for at least {min(cluster.sources) + 1} devices"
        )
    return replace(cluster, devices=devices, sources=sources)


def _numbered(name: str, number: int) -> str:
    """Return a device's name with another number at its end."""
    return f"{name.rpartition('-')[0] or name}-{number}"

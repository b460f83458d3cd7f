"""The network of emulated boards, a process: namespaces, a TAP device in each, frames in between.

``python -m lcp_tvm.rpc.emulation.switch SPEC``: SPEC is the JSON of a `Spec`. It prints one line,
the JSON of a `Ready`, and forwards frames: as fast as it can until something comes over standard
input, so that uploads do not take hours; then at the network's rate; when standard input is closed
it prints a `Tally`. Namespaces and devices are held by its descriptors alone, and end with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from lcp_tvm.predict.cluster import Jitter, Network
from lcp_tvm.rpc.emulation.medium import EVERYBODY, Medium, Packet

MTU = 9000
"""Jumbo frames: a sixth of the work of Ethernet's 1500 bytes, and 0.7 % of headers, not 4.4 %."""

CONGESTION = "reno"
PRIORITY = 20
UNLIMITED = Network("switched", bandwidth_mbit=1e6)
MAX_MACHINES = 250
DEVICE = "eth0"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000
_ETHERNET_HEADER = 14
_BATCH = 32
"""Frames that are taken from a device at a time."""

_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Spec:
    """What to emulate; ``core`` is where the switch runs, None leaves that open."""

    machines: int
    network: Network
    core: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the machines are.

    Attributes
    ----------
    namespaces : descriptors of this process, by machine.
    real_time : whether the switch runs before all other processes.
    """

    pid: int
    namespaces: tuple[int, ...]
    addresses: tuple[str, ...]
    real_time: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """What passed the switch at its rate; ``late_ms`` is the most by which a frame was late."""

    frames: int
    carried_bytes: int
    dropped: int
    late_ms: float


def address_of(machine: int) -> str:
    """Return the IP address of a machine."""
    return f"10.77.0.{machine + 1}"


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Have this thread, and the threads and processes that it starts, in a network namespace."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def _enter(namespace: int) -> None:
    _check(_LIBC.setns(namespace, _CLONE_NEWNET))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def make_machine(machine: int) -> tuple[int, int]:
    """Make a namespace with a network device.

    Returns
    -------
    Descriptors of the namespace and of the device.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_LIBC.unshare(_CLONE_NEWNET))
        try:
            namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            request = struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(device, _TUNSETIFF, request)
            _configure(machine)
        finally:
            _enter(home)
    finally:
        os.close(home)
    return namespace, device


def _configure(machine: int) -> None:
    """Set up the namespace of this thread."""
    commands = (
        "link set dev lo up",
        f"link set dev {DEVICE} address {_mac(machine).hex(':')} mtu {MTU} up",
        f"address add {address_of(machine)}/24 dev {DEVICE}",
    )
    settings = {
        f"ipv6/conf/{DEVICE}/disable_ipv6": "1",  # its announcements would take air
        "ipv4/tcp_congestion_control": CONGESTION,
    }
    for name, value in settings.items():
        path = f"/proc/sys/net/{name}"
        if os.path.exists(path):
            with open(path, "w") as file:
                file.write(value)
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _mac(machine: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, machine + 1))  # 2: locally administered


class Switch:
    """Passes frames on between devices, by number of machine."""

    def __init__(self, devices: Sequence[int]) -> None:
        self._devices = devices
        self._machines = {device: machine for machine, device in enumerate(devices)}
        self.limit(UNLIMITED)

    def limit(self, network: Network) -> None:
        """Put a rate in force, and count anew."""
        self._medium = Medium(network, len(self._devices))
        self._frames = 0
        self._late_ms = 0.0

    @property
    def tally(self) -> Tally:
        medium = self._medium
        return Tally(self._frames, medium.carried_bytes, medium.dropped, self._late_ms)

    def run(self, until: int) -> None:
        """Pass frames on until a descriptor can be read."""
        while True:
            next_ms = self._medium.next_ms
            timeout = None if next_ms is None else max(0.0, next_ms - _now_ms()) / 1e3
            readable, _, _ = select.select([*self._devices, until], [], [], timeout)
            if until in readable:
                self._hand_out(inf)
                return
            for device in readable:
                for data in _read(device):
                    packet = Packet(self._machines[device], _target(data), data)
                    self._medium.offer(_now_ms(), packet)
            self._hand_out(_now_ms())

    def _hand_out(self, now: float) -> None:
        for when, target, data in self._medium.due(now):
            self._frames += 1
            self._late_ms = max(self._late_ms, _now_ms() - when)
            os.write(self._devices[target], data)


def _read(device: int) -> Iterator[bytes]:
    for _ in range(_BATCH):
        try:
            yield os.read(device, MTU + _ETHERNET_HEADER)
        except BlockingIOError:
            return


def _target(data: bytes) -> int:
    return EVERYBODY if data[0] & 1 else data[5] - 1


def _now_ms() -> float:
    return time.monotonic_ns() / 1e6


def _hurry() -> bool:
    """Run before all other processes; whether that is permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    return True


def spec_json(spec: Spec) -> str:
    """Return a spec as the switch takes it."""
    return json.dumps(asdict(spec))


def _parse(text: str) -> Spec:
    values: Mapping[str, Any] = json.loads(text)
    network = dict(values["network"])
    network["jitter"] = Jitter(**network["jitter"])
    return Spec(values["machines"], Network(**network), values["core"])


def main() -> None:
    spec = _parse(sys.argv[1])
    made = [make_machine(machine) for machine in range(spec.machines)]
    if spec.core is not None:
        os.sched_setaffinity(0, {spec.core})
    addresses = tuple(map(address_of, range(spec.machines)))
    ready = Ready(os.getpid(), tuple(n for n, _ in made), addresses, _hurry())
    print(json.dumps(asdict(ready)), flush=True)
    gc.freeze()
    gc.disable()
    switch, lifeline = Switch([device for _, device in made]), sys.stdin.fileno()
    switch.run(until=lifeline)
    if os.read(lifeline, 1):
        switch.limit(spec.network)
        switch.run(until=lifeline)
    with suppress(BrokenPipeError):  # whoever would read it was killed
        print(json.dumps(asdict(switch.tally)), flush=True)


if __name__ == "__main__":
    main()

"""Where workers are: a list, a cluster file, or a TVM RPC tracker.

--workers 10.0.0.1:9090,10.0.0.2:9090
--workers tracker://10.0.0.9:9190
--cluster boards.toml                   address = "10.0.0.1:9090" in its tables
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.plan.plan import Plan, Policy
from lcp_tvm.predict.cluster import Device
from lcp_tvm.predict.cluster_file import load_cluster
from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.launch import needs_gateway
from lcp_tvm.rpc.wire import servers_of
from lcp_tvm.rpc.workers import Workers

TRACKER = "tracker://"
WORKER_KEY = "server:lcp-"
"""What the keys of our workers begin with at a tracker."""

TRACKER_TIMEOUT_S = 10.0


def find_workers(text: str) -> Workers:
    """Read ``HOST:PORT,HOST:PORT,...``, or ask the tracker of ``tracker://HOST:PORT``.

    Raises
    ------
    InputError
        An address is wrong, or there twice.
    WorkerError
        The tracker does not answer, or knows of no worker.
    """
    if text.startswith(TRACKER):
        return Workers(_tracked(parse_address(text.removeprefix(TRACKER))))
    addresses = tuple(parse_address(part) for part in text.split(","))
    return Workers(_distinct(addresses, f"--workers {text}"))


def load_workers(path: Path) -> Workers:
    """Read a cluster file whose devices have addresses.

    Raises
    ------
    InputError
        The file is wrong, or a device has no address.
    """
    cluster = load_cluster(path)

    def address_of(device: Device) -> Address:
        if not device.address:
            raise InputError(
                f'{path}: {device.name} has no address; write address = "HOST:PORT", or a list '
                "of them where count is more than 1"
            )
        return parse_address(device.address)

    devices = _distinct(tuple(map(address_of, cluster.devices)), str(path))
    gateway = None
    if cluster.gateway is not None and cluster.gateway.address:
        gateway = address_of(cluster.gateway)
    return Workers(devices, gateway, cluster)


def with_gateway(workers: Workers, plan: Plan, policy: Policy | None) -> Workers:
    """Return the workers with the last as the gateway, where there is one more than devices."""
    spare = len(workers.devices) == plan.devices * plan.replicas + 1
    if workers.gateway is not None or not spare or not needs_gateway(plan, policy):
        return workers
    return replace(workers, devices=workers.devices[:-1], gateway=workers.devices[-1])


def _tracked(tracker: Address) -> tuple[Address, ...]:
    host, port = tracker
    try:
        servers = servers_of(tracker, TRACKER_TIMEOUT_S)
    except OSError as error:
        raise WorkerError(
            f"tracker {host}:{port}: {error.strerror or error}; "
            "start one with 'lcp-tvm tracker', and workers with --tracker"
        ) from error
    found = sorted((place, at) for key, place, at in servers if key.startswith(WORKER_KEY))
    if not found:
        raise WorkerError(
            f"tracker {host}:{port}: no worker is there; start some with 'lcp-tvm worker --tracker'"
        )
    return tuple(found)


def _distinct(addresses: Iterable[Address], where: str) -> tuple[Address, ...]:
    found = tuple(addresses)
    if len(set(found)) < len(found):
        raise InputError(f"{where}: an address is there twice; a worker serves one session")
    return found

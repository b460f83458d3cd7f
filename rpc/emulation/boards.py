"""Workers of an emulated cluster: each on its machine, all on the cores that are left to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.emulation.network import EmulatedNetwork
from lcp_tvm.rpc.session import local_worker
from lcp_tvm.rpc.workers import Workers


def shared_cores() -> tuple[int, tuple[int, ...]]:
    """Return the core of switch and orchestrator, and those of the workers.

    With a single core they are the same.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return first, tuple(others) or (first,)


@contextmanager
def emulated_boards(cluster: Cluster) -> Iterator[tuple[Workers, EmulatedNetwork]]:
    """Start the workers of a cluster, on a network of its own.

    Within the ``with`` statement this thread, and what it starts, is on the gateway's machine.

    Raises
    ------
    InputError
        This machine cannot emulate boards.
    WorkerError
        A worker or the switch does not start.
    """
    ours, theirs = shared_cores()
    machines = len(cluster.machines)
    with ExitStack() as stack:
        network = stack.enter_context(EmulatedNetwork(cluster.network, machines, ours))

        def start(machine: int) -> Address:
            # A process inherits the namespace and the cores of the thread that starts it.
            with network.inside(machine):
                os.sched_setaffinity(0, {theirs[machine % len(theirs)]})
                return stack.enter_context(local_worker(host=network.addresses[machine]))

        with ThreadPoolExecutor(machines) as pool:
            addresses = tuple(pool.map(start, range(machines)))
        devices = addresses[: len(cluster.devices)]
        gateway = addresses[-1] if cluster.gateway is not None else None
        stack.enter_context(network.inside(cluster.gateway_number))
        stack.enter_context(_on_core(ours))
        yield Workers(devices, gateway, cluster), network


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

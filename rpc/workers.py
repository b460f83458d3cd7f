"""Workers that a cluster is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.session import local_worker


@dataclass(frozen=True, slots=True)
class Workers:
    """Where workers listen.

    Attributes
    ----------
    devices : device d of a plan is the d-th; fewer take several parts, more are replicas.
    gateway : one that only collects and merges.
    cluster : what is known of them, for placing tasks that a plan leaves open.
    """

    devices: tuple[Address, ...]
    gateway: Address | None = None
    cluster: Cluster | None = None


def local_count(plan: Plan) -> int:
    """Return how many workers a plan gets on this machine: one a device, and one a core at most."""
    return min(plan.devices * plan.replicas, os.cpu_count() or 1)


@contextmanager
def local_workers(count: int) -> Iterator[Workers]:
    """Worker processes on this machine for the length of a ``with`` statement.

    Raises
    ------
    WorkerError
        One does not start.
    """
    with ExitStack() as stack:

        def start(_: int) -> Address:
            return stack.enter_context(local_worker())

        with ThreadPoolExecutor(count) as pool:
            addresses = tuple(pool.map(start, range(count)))
        yield Workers(addresses)

"""The nodes of a run, with all functions that they need, and the client in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.control import NearNode, Node

CLIENT = "client"
GATEWAY_NAME = "gateway"


def node_names(machines: Machines, cluster: Cluster | None = None) -> tuple[str, ...]:
    """Return the names of devices, of a gateway of its own, and of the client."""
    if cluster is None:
        devices = [f"edge-{number}" for number in range(machines.devices)]
    else:
        devices = [device.name for device in cluster.devices]
    own = [GATEWAY_NAME] if machines.gateway == machines.devices else []
    return (*devices, *own, CLIENT)


@dataclass(slots=True, eq=False)
class Crew:
    """The nodes of a run.

    Attributes
    ----------
    names : by number.
    nodes : all but the client; ``hosts``: where their peers reach them.
    client : the orchestrator's end; the last number.
    restore : get a lost node back, its functions loaded; it raises `WorkerError`.
    cluster : what is known of the devices.
    """

    names: tuple[str, ...]
    machines: Machines
    nodes: list[Node]
    hosts: tuple[str, ...]
    client: NearNode
    restore: Callable[[int], Node]
    cluster: Cluster | None = None

"""Where the tasks of a frame run, and what is left of that when nodes are lost.

A plan's replicas take turns, a frame each. A plan whose tasks are all bound to devices has as many
replicas as the nodes suffice for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import product

from lcp_tvm.errors import WorkerError
from lcp_tvm.plan.pieces import Reads
from lcp_tvm.plan.plan import GATEWAY, Plan, Policy
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.placement import Machines, bound_machine, deal_out, group, place_earliest

ANYWHERE = -1
"""The place of a task that goes to whoever is free."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way of frames from one source through the nodes.

    Attributes
    ----------
    source : the node that they come from.
    places : by task, its node or ANYWHERE.
    devices : nodes that may take tasks of place ANYWHERE.
    """

    id: int
    source: int
    places: tuple[int, ...]
    devices: tuple[int, ...]
    policy: Policy

    def json(self) -> str:
        """Return what `route` of a node takes."""
        values = {
            "id": self.id,
            "source": self.source,
            "places": self.places,
            "devices": self.devices,
            "policy": self.policy,
        }
        return json.dumps(values)


def turns_of(plan: Plan, devices: int) -> int:
    """Return how many replicas of a plan that many devices hold."""
    if any(task.device is None for task in plan.tasks):
        return plan.replicas
    return max(plan.replicas, devices // plan.devices)


_Way = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Source, places and devices of a route."""


class Router:
    """Routes by replica and source; the same route for the same way, also after a loss.

    Nodes know at most so many routes, and nodes of a long run are lost and come back often.

    Attributes
    ----------
    turns : replicas of the plan, which take frames in turn.
    """

    def __init__(
        self,
        plan: Plan,
        reads: Reads,
        names: tuple[str, ...],
        machines: Machines,
        policy: Policy,
        cluster: Cluster | None = None,
    ) -> None:
        """Take the nodes as they are at first.

        Parameters
        ----------
        names : of the nodes, for messages.
        cluster : what is known of the devices' speed, for tasks that the plan leaves open.
        """
        self._plan = plan
        self._reads = reads
        self._names = names
        self._machines = machines
        self._policy = policy
        self._cluster = cluster
        self.turns = turns_of(plan, machines.devices)
        self._needed = [self._bound_nodes(turn) for turn in range(self.turns)]
        self._reasons: dict[int, tuple[str, ...]] = {}
        self._routes: dict[tuple[int, int], Route] = {}
        self._known: dict[_Way, Route] = {}
        self._made = 0

    @property
    def lost(self) -> frozenset[int]:
        """Nodes that get nothing to do."""
        return self._machines.lost

    def lose(self, node: int, reason: str) -> None:
        """Leave a node out of the routes; of one that is lost already, there is more to say."""
        if node in self._reasons:
            self._reasons[node] = (self._reasons[node][0], reason)
        else:
            self._reasons[node] = (reason,)
            self._change()

    def reason(self, node: int) -> str:
        """Return why a node is lost, and what has come of getting it back; empty if it is not."""
        return "; ".join(self._reasons.get(node, ()))

    def needs(self, node: int) -> bool:
        """Whether no frame can be computed without a node and those that are lost."""
        without = replace(self._machines, lost=self.lost | {node})
        return all(self._missing(replica, without) is not None for replica in range(self.turns))

    def regain(self, node: int) -> None:
        """Take a node into the routes again."""
        del self._reasons[node]
        self._change()

    def route(self, turn: int, source: int | None = None) -> Route:
        """Return the route of a frame.

        Parameters
        ----------
        turn : number of the frame among all.
        source : the node that it comes from; None takes the first of its replica. Where that one
            is lost another takes the frame in.

        Raises
        ------
        WorkerError
            The plan cannot do without a node that is lost; its name begins the message.
        """
        missing = [self._missing(replica, self._machines) for replica in range(self.turns)]
        whole = [replica for replica in range(self.turns) if missing[replica] is None]
        if not whole:
            node = missing[turn % self.turns]
            assert node is not None
            raise WorkerError(
                f"{self._names[node]}: it is lost, and the plan cannot do without it "
                f"({self.reason(node)})"
            )
        replica = whole[turn % len(whole)]
        devices = self._devices(replica, self._machines)
        if source is None or source in self.lost:
            source = devices[0] if devices else self._machines.gateway
        key = (replica, source)
        if key not in self._routes:
            way = (source, self._places(replica, source), tuple(devices))
            if way not in self._known:
                self._known[way] = Route(self._made, *way, self._policy)
                self._made += 1
            self._routes[key] = self._known[way]
        return self._routes[key]

    def forget(self, route: Route) -> None:
        """Make a new route of the same way when there is need of one."""
        self._known.pop((route.source, route.places, route.devices), None)
        self._routes.clear()

    def routes(self, sources: tuple[int, ...]) -> tuple[Route, ...]:
        """Return the routes of all replicas from some sources, or from their first devices."""
        found = product(range(self.turns), sources or (None,))
        return tuple(dict.fromkeys(self.route(turn, source) for turn, source in found))

    def _change(self) -> None:
        self._machines = replace(self._machines, lost=frozenset(self._reasons))
        self._routes.clear()

    def _places(self, replica: int, source: int) -> tuple[int, ...]:
        plan, machines = self._plan, self._machines
        if self._policy == "stealing":
            bound = (bound_machine(plan, machines, task, replica) for task in plan.tasks)
            return tuple(ANYWHERE if node is None else node for node in bound)
        if self._policy == "static" and self._cluster is not None:
            cluster, lost = self._cluster, self.lost
            return tuple(place_earliest(plan, cluster, self._reads, replica, source, lost))
        return tuple(deal_out(plan, machines, replica))

    def _devices(self, replica: int, machines: Machines) -> list[int]:
        """Return a replica's devices, in the order of their numbers in the plan."""
        if any(task.device is None for task in self._plan.tasks):
            return group(self._plan, machines, replica)
        first = replica * self._plan.devices
        numbers = (first + device for device in range(self._plan.devices))
        nodes = dict.fromkeys(number % machines.devices for number in numbers)
        return [node for node in nodes if node not in machines.lost]

    def _missing(self, replica: int, machines: Machines) -> int | None:
        """Return a node that is lost and without which a replica cannot compute a frame."""
        missing = self._needed[replica] & machines.lost
        if missing:
            return min(missing)
        return None if self._devices(replica, machines) else min(machines.lost)

    def _bound_nodes(self, replica: int) -> frozenset[int]:
        bound = {bound_machine(self._plan, self._machines, t, replica) for t in self._plan.tasks}
        needed = frozenset(node for node in bound if node is not None)
        relayed = self._policy != "static" or any(t.device == GATEWAY for t in self._plan.tasks)
        return needed | {self._machines.gateway} if relayed else needed

"""From a package and workers to nodes that are ready for its plan.

Sessions are opened, what workers say of themselves is checked against what the package needs, and
files that they do not hold are uploaded; all workers at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from lcp_tvm.cpu.processor import this_processor
from lcp_tvm.errors import InputError
from lcp_tvm.executor import check_machine
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import GATEWAY, Plan, Policy
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.control import FarNode, NearNode, Node
from lcp_tvm.rpc.crew import Crew, node_names
from lcp_tvm.rpc.deployment import deploy
from lcp_tvm.rpc.line import resolve
from lcp_tvm.rpc.loading import check_node, load
from lcp_tvm.rpc.session import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S, WorkerSession, local_worker
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers, local_count, local_workers
from lcp_tvm.targets import parse_targets

ATTEMPT_TIMEOUT_S = 5.0
"""An attempt to get a session with a lost node."""

Progress = Callable[[str, float], None]
_T = TypeVar("_T")


class Launch:
    """Nodes for the length of a ``with`` statement."""

    def __init__(
        self,
        package: Package,
        plan: Plan,
        workers: Workers | None,
        settings: Settings,
        progress: Progress,
    ) -> None:
        """Take what is to be launched.

        Parameters
        ----------
        workers : None starts some on this machine.
        """
        self._package = package
        self._plan = plan
        self._workers = workers
        self._settings = settings
        self._progress = progress
        self._stack = ExitStack()
        self._sessions: dict[int, WorkerSession] = {}
        self._lock = threading.Lock()
        self._aborted = False

    def __enter__(self) -> Crew:
        """Open, check and load all nodes.

        Raises
        ------
        WorkerError
            A worker is not there, is busy, of another version, or has too little memory.
        PackageError, ConfigError
            The package is damaged, or is not for these workers.
        """
        with ExitStack() as stack:
            self._stack = stack
            crew = self._open()
            self._stack = stack.pop_all()
        return crew

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def abort(self) -> None:
        """Have `__enter__` fail soon, from another thread."""
        with self._lock:
            self._aborted = True
            for session in self._sessions.values():
                session.cut()

    def _leave(self) -> None:
        for session in self._sessions.values():
            session.close()

    def _open(self) -> Crew:
        plan, workers = self._plan, self._workers
        if workers is None:
            check_machine(self._package)
            self._progress("starting workers", 0.05)
            workers = self._stack.enter_context(local_workers(local_count(plan)))
        cluster = workers.cluster
        if cluster is not None and len(cluster.devices) != len(workers.devices):
            raise InputError(
                f"cluster {cluster.name} has {len(cluster.devices)} devices, and "
                f"{len(workers.devices)} addresses are given"
            )
        addresses = [*workers.devices]
        machines = Machines(len(addresses), 0)
        if self._has_gateway(workers):
            machines = Machines(len(addresses), len(addresses))
            addresses.append(workers.gateway or self._stack.enter_context(local_worker()))
        names = node_names(machines, cluster)
        targets = parse_targets(self._package.manifest.target)
        modules = deploy(
            plan, self._package.manifest.modules, machines, lambda d: targets.of(d).text
        )

        def ready(number: int, connect_s: float, call_s: float) -> Node:
            session = self._connect(number, addresses[number], connect_s)
            node = FarNode(session, call_s)
            self._load(names[number], node, modules[number])
            return node

        def ready_again(number: int) -> Node:
            recovery_s = self._settings.recovery_s
            return ready(number, min(recovery_s, ATTEMPT_TIMEOUT_S), recovery_s)

        self._progress("loading the workers", 0.15)
        self._stack.callback(self._leave)
        nodes = self._together(
            lambda n: ready(n, CONNECT_TIMEOUT_S, CALL_TIMEOUT_S), len(addresses)
        )
        hosts = tuple(resolve(*address)[0] for address in addresses)
        client = NearNode.make(silence_s=self._settings.silence_s)
        self._stack.callback(client.close)
        return Crew(names, machines, nodes, hosts, client, ready_again, cluster)

    def _has_gateway(self, workers: Workers) -> bool:
        """Whether a node of its own is the gateway."""
        if workers.gateway is not None:
            return True
        if workers.cluster is not None and workers.cluster.gateway is None:
            return False
        target = parse_targets(self._package.manifest.target).of(GATEWAY)
        return needs_gateway(self._plan, self._settings.policy) and target.processor.runs_on(
            this_processor()
        )

    def _together(self, work: Callable[[int], _T], count: int) -> list[_T]:
        """Do something for all nodes at the same time; when one fails the others end too."""
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(work, number) for number in range(count)]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.abort()
                raise

    def _connect(self, number: int, address: Address, timeout_s: float) -> WorkerSession:
        session = WorkerSession.connect(*address, timeout=timeout_s)
        with self._lock:
            self._sessions[number] = session
            if self._aborted:
                session.cut()
        return session

    def _load(self, name: str, node: Node, names: tuple[str, ...]) -> None:
        modules = {module: self._package.manifest.modules[module] for module in names}
        check_node(name, node.hello(), modules, self._plan)
        load(node, self._package, modules)


def needs_gateway(plan: Plan, policy: Policy | None) -> bool:
    """Whether a plan under a policy has work for a gateway."""
    bound = any(task.device == GATEWAY for task in plan.tasks)
    return bound or (policy or plan.policy) != "static"

"""From a package and workers to nodes that are ready for its plan.

Sessions are opened, what workers say of themselves is checked against what the package needs, and
files that they do not hold are uploaded; all workers at the same time.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from lcp_tvm.cpu.target import parse_target
from lcp_tvm.errors import ConfigError, InputError, PackageError, WorkerError
from lcp_tvm.manifest import Module
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import GATEWAY, Plan, Policy
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.control import PROTOCOL, Facts, FarNode, NearNode, Node
from lcp_tvm.rpc.crew import Crew, node_names
from lcp_tvm.rpc.deployment import deploy
from lcp_tvm.rpc.line import resolve
from lcp_tvm.rpc.session import WorkerSession, local_worker
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers, local_count, local_workers
from lcp_tvm.targets import parse_targets

Progress = Callable[[str, float], None]
_MACHINES = {"cortex-a9": "armv7l", "cortex-a53": "aarch64", "cortex-a72": "aarch64"}
_ANY_BOARD = "none"
_MIB = 1 << 20
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
        self._sessions: list[WorkerSession] = []
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
            for session in self._sessions:
                session.cut()

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
        self._settings.check(machines.devices)
        names = node_names(machines, cluster)
        targets = parse_targets(self._package.manifest.target)
        modules = deploy(
            plan, self._package.manifest.modules, machines, lambda d: targets.of(d).text
        )

        def ready(number: int) -> Node:
            return self._ready(names[number], addresses[number], modules[number])

        self._progress("loading the workers", 0.15)
        nodes = self._together(ready, len(addresses))
        hosts = tuple(resolve(*address)[0] for address in addresses)
        client = NearNode.make(silence_s=self._settings.silence_s)
        self._stack.callback(client.close)
        return Crew(names, machines, nodes, hosts, client, ready, cluster)

    def _has_gateway(self, workers: Workers) -> bool:
        """Whether a node of its own is the gateway."""
        if workers.gateway is not None:
            return True
        if workers.cluster is not None and workers.cluster.gateway is None:
            return False
        target = parse_targets(self._package.manifest.target).of(GATEWAY)
        return needs_gateway(self._plan, self._settings.policy) and _runs_here(target.text)

    def _together(self, work: Callable[[int], _T], count: int) -> list[_T]:
        """Do something for all nodes at the same time; when one fails the others end too."""
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(work, number) for number in range(count)]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.abort()
                raise

    def _ready(self, name: str, address: Address, modules: tuple[str, ...]) -> Node:
        session = WorkerSession.connect(*address)
        with self._lock:
            self._sessions.append(session)
            self._stack.callback(session.close)
            if self._aborted:
                session.cut()
        node = FarNode(session)
        package = self._package
        described = {module: package.manifest.modules[module] for module in modules}
        check_node(name, node.hello(), described, self._plan)
        load(node, package, described)
        return node


def load(node: Node, package: Package, modules: dict[str, Module]) -> None:
    """Bring a node the files of modules, and have it load them."""
    files: dict[str, bytes] = {}
    for code in package.code(modules):
        module = modules[code.name]
        files[module.so.sha256] = code.so
        if module.vta is not None and code.vta is not None:
            files[module.vta.sha256] = code.vta
    node.upload(files)
    for name, module in modules.items():
        vta = None if module.vta is None else module.vta.sha256
        node.load(name, module.functions, module.so.sha256, vta)


def needs_gateway(plan: Plan, policy: Policy | None) -> bool:
    """Whether a plan under a policy has work for a gateway."""
    bound = any(task.device == GATEWAY for task in plan.tasks)
    return bound or (policy or plan.policy) != "static"


def check_node(name: str, facts: Facts, modules: dict[str, Module], plan: Plan) -> None:
    """See whether a node can run modules of a plan.

    Raises
    ------
    WorkerError
        It speaks another protocol, or has too little memory.
    PackageError
        A module is for another processor.
    ConfigError
        A module's programs are for another VTA.
    """
    if facts.protocol != PROTOCOL:
        raise WorkerError(
            f"{name}: it speaks version {facts.protocol} of the protocol, this is {PROTOCOL}; "
            "install the same lcp-tvm on both"
        )
    needed = 0
    peaks = [0]
    for module in modules.values():
        if not _runs_on(module.target, facts.machine):
            raise PackageError(
                f"{name}: it is a {facts.machine}, the package was compiled for {module.target}; "
                "compile the network for this board"
            )
        config = None if module.config is None else str(module.config.get("NAME"))
        if config is not None and facts.config not in (config, _ANY_BOARD):
            raise ConfigError(
                f"{name}: it has the VTA {facts.config}, the package was compiled for {config}; "
                "another board; compile the network for its config"
            )
        needed += module.so.size + (0 if module.vta is None else module.vta.size)
        peaks += [plan.functions[function].cost.peak_bytes for function in module.functions]
    needed += max(peaks)
    if needed > facts.free_bytes:
        raise WorkerError(
            f"{name}: it has {facts.free_bytes / _MIB:,.1f} MiB free and needs "
            f"{needed / _MIB:,.1f}; give it more --memory, or split the network further"
        )


def check_machine(package: Package) -> None:
    """See whether the CPU parts of all modules are for this machine's processor.

    Raises
    ------
    PackageError
        One is for another.
    """
    for module in package.manifest.modules.values():
        if not _runs_here(module.target):
            raise PackageError(
                f"{package.path}: was compiled for {module.target}, this machine is "
                f"{platform.machine()}; run it on such a board with --workers HOST:PORT, or "
                "compile it for this machine"
            )


def _runs_here(target: str) -> bool:
    return _runs_on(target, platform.machine())


def _runs_on(target: str, machine: str) -> bool:
    cpu = parse_target(target).cpu
    return cpu == "host" or _MACHINES[cpu] == machine

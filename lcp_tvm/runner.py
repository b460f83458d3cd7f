"""Pictures through a package on one or several workers.

A network that is one task goes to every worker, and each picture to the next one that is free. The
tasks of any other run one after the other, each on its device's worker: the reference for what a
split package computes.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy.typing as npt

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.deployment import deploy
from lcp_tvm.errors import InputError, PackageError
from lcp_tvm.package import Package
from lcp_tvm.pictures import load_input
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.run import run_plan
from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.session import WorkerSession, local_worker
from lcp_tvm.targets import parse_targets
from lcp_tvm.vta.config import config_names

Array = npt.NDArray[Any]
Progress = Callable[[str, float], None]
ANY_BOARD = "-"
_MACHINES = {"cortex-a9": "armv7l", "cortex-a53": "aarch64", "cortex-a72": "aarch64"}


def parse_workers(text: str) -> tuple[Address, ...]:
    """Read ``HOST:PORT,HOST:PORT,...``.

    Raises
    ------
    InputError
        An address is wrong, or there twice.
    """
    addresses = tuple(parse_address(part) for part in text.split(","))
    if len(set(addresses)) < len(addresses):
        raise InputError(
            f"--workers {text}: an address is there twice; a worker serves one session"
        )
    return addresses


def run_pictures(
    package: Package,
    pictures: Sequence[Path],
    workers: Sequence[Address] | None,
    top: int,
    progress: Progress,
) -> tuple[Answer, ...]:
    """Load what the workers need of a package, and run the pictures.

    Parameters
    ----------
    workers : None starts one on this machine, which ends with the run.
    top : classes in an answer.

    Returns
    -------
    One answer per picture, in their order.

    Raises
    ------
    InputError
        A picture cannot be used.
    PackageError, ConfigError
        The package is damaged, or is not for these workers.
    WorkerError
        A worker is not there, or died.
    """
    plan = package.plan()
    with ExitStack() as stack:
        if workers is None:
            check_machine(package)
            progress("starting a worker", 0.05)
            workers = (stack.enter_context(local_worker(_board_of(package))),)
        sessions = []
        for number, (host, port) in enumerate(workers):
            progress(f"connecting to {host}:{port}", 0.05 + 0.1 * number / len(workers))
            sessions.append(stack.enter_context(WorkerSession.connect(host, port)))
        whole = len(plan.tasks) <= 1 and len(package.manifest.modules) <= 1
        run = _run_whole if whole else _run_tasks
        answers: list[Answer] = []
        outputs = stack.enter_context(closing(run(package, plan, sessions, pictures, progress)))
        for picture, output in zip(pictures, outputs, strict=True):
            answers.append(read_answer(str(picture), output, package.manifest.labels, top))
            progress("running", 0.3 + 0.7 * len(answers) / len(pictures))
    return tuple(answers)


def _run_whole(
    package: Package,
    plan: Plan,
    sessions: Sequence[WorkerSession],
    pictures: Sequence[Path],
    progress: Progress,
) -> Generator[list[Array]]:
    """Every worker has the whole network, and takes the next picture when it is free."""
    code = package.code()
    free: SimpleQueue[WorkerSession] = SimpleQueue()
    for number, session in enumerate(sessions):
        progress("loading", 0.15 + 0.15 * number / len(sessions))
        session.load(code)
        free.put(session)

    def run(picture: Path) -> list[Array]:
        x = _picture(package, plan, picture)
        session = free.get()
        try:
            return _run_frame(plan, x, [session] * len(plan.tasks))
        finally:
            free.put(session)

    with ThreadPoolExecutor(len(sessions)) as pool:
        yield from pool.map(run, pictures)


def _run_tasks(
    package: Package,
    plan: Plan,
    sessions: Sequence[WorkerSession],
    pictures: Sequence[Path],
    progress: Progress,
) -> Generator[list[Array]]:
    """Each worker has what its devices run; replicas take turns."""
    targets = parse_targets(package.manifest.target)
    modules = package.manifest.modules
    places = deploy(plan, modules, len(sessions), lambda device: targets.of(device).text)
    for number, (session, names) in enumerate(zip(sessions, places.modules, strict=True)):
        progress("loading", 0.15 + 0.15 * number / len(sessions))
        session.load(package.code(names))
    for number, picture in enumerate(pictures):
        turn = places.workers[number % plan.replicas]
        yield _run_frame(
            plan, _picture(package, plan, picture), [sessions[worker] for worker in turn]
        )


def _run_frame(plan: Plan, x: Array, sessions: Sequence[WorkerSession]) -> list[Array]:
    """Run a frame, each task in the session at its place."""
    turns = iter(sessions)

    def call(function: str, arguments: Sequence[Array]) -> list[Array]:
        return next(turns).call(function, arguments)

    outputs = run_plan(plan, call, {plan.inputs[0]: x})
    return [outputs[name] for name in plan.outputs]


def _picture(package: Package, plan: Plan, path: Path) -> Array:
    x = load_input(path, package.preprocess, plan.tensors[plan.inputs[0]].dtype)
    if x.shape != package.manifest.input_shape:
        raise InputError(
            f"{path}: a picture becomes {list(x.shape)}, {package.path} takes "
            f"{list(package.manifest.input_shape)}; this network is not for pictures"
        )
    return x


def check_machine(package: Package) -> None:
    """See whether the CPU parts of all modules are for this machine's processor.

    Raises
    ------
    PackageError
        One is for another.
    """
    for module in package.manifest.modules.values():
        cpu = parse_target(module.target).cpu
        if cpu != "host" and platform.machine() != _MACHINES[cpu]:
            raise PackageError(
                f"{package.path}: was compiled for {module.target}, this machine is "
                f"{platform.machine()}; run it on such a board with --workers HOST:PORT, or "
                "compile it for this machine"
            )


def _board_of(package: Package) -> str:
    """Return the config of the board that a local worker stands for."""
    configs = [module.config for module in package.manifest.modules.values() if module.config]
    names = {str(config.get("NAME")) for config in configs}
    return names.pop() if len(names) == 1 and names <= set(config_names()) else ANY_BOARD

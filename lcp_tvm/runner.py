"""Pictures through a package on one or several workers."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from lcp_tvm.answers import Answer, read_answer
from lcp_tvm.cpu.target import parse_target
from lcp_tvm.errors import InputError, PackageError
from lcp_tvm.package import Package
from lcp_tvm.pictures import load_picture
from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.session import WorkerSession, local_worker
from lcp_tvm.vta.config import config_names

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
    """Load the package on every worker, and give each picture to the next one that is free.

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
    net_so, net_vta = package.net_so(), package.net_vta()
    with ExitStack() as stack:
        if workers is None:
            check_machine(package)
            progress("starting a worker", 0.05)
            workers = (stack.enter_context(local_worker(_board_of(package))),)
        free: SimpleQueue[WorkerSession] = SimpleQueue()
        for host, port in workers:
            progress(f"loading on {host}:{port}", 0.2)
            session = stack.enter_context(WorkerSession.connect(host, port))
            session.load(net_so, net_vta)
            free.put(session)

        def answer(picture: Path) -> Answer:
            x = load_picture(picture, package.preprocess)
            if x.shape != package.manifest.input_shape:
                raise InputError(
                    f"{picture}: a picture becomes {list(x.shape)}, {package.path} takes "
                    f"{list(package.manifest.input_shape)}; this network is not for pictures"
                )
            session = free.get()
            try:
                outputs = session.run(x)
            finally:
                free.put(session)
            return read_answer(str(picture), outputs, package.manifest.labels, top)

        answers = []
        with ThreadPoolExecutor(len(workers)) as pool:
            for done in pool.map(answer, pictures):
                answers.append(done)
                progress("running", 0.3 + 0.7 * len(answers) / len(pictures))
    return tuple(answers)


def check_machine(package: Package) -> None:
    """See whether a package's CPU parts are for this machine's processor.

    Raises
    ------
    PackageError
        They are for another one.
    """
    target = package.manifest.target
    cpu = parse_target(target).cpu
    if cpu != "host" and platform.machine() != _MACHINES[cpu]:
        raise PackageError(
            f"{package.path}: was compiled for {target}, this machine is {platform.machine()}; "
            "run it on such a board with --workers HOST:PORT, or compile it for this machine"
        )


def _board_of(package: Package) -> str:
    """Return the config of the board that a local worker stands for."""
    config = package.manifest.config
    name = config.get("NAME") if config is not None else None
    return str(name) if name in config_names() else ANY_BOARD

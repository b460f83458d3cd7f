"""What a run costs beside the sockets it uses: moved tensors and empty tasks, in turns.

A tensor that a worker keeps is read whole by a task of another worker, which gives one number. What
a tensor of 4 bytes takes in the same way is subtracted: the rest is the moving. The bare socket
sends as many bytes to a process that answers with one; a round trip of one byte is subtracted.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from tvm import relax
from tvm.relax import op as R

from lcp_tvm.compiler import compile_network
from lcp_tvm.network import Network, Preprocess
from lcp_tvm.package import Package, write_package
from lcp_tvm.rpc.address import Address
from lcp_tvm.rpc.blocking import BlockingCluster
from lcp_tvm.rpc.cluster import Kept
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers
from lcp_tvm.targets import parse_targets
from tests.rpc.processes import worker_processes

EMPTY, TENSOR, LARGE = 4, 600_000, 16_000_000
"""Bytes."""

Call = Callable[[], object]

_PEER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as line:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1 << 25))
    while head := line.recv(8, socket.MSG_WAITALL):
        left = int.from_bytes(head, "little")
        while left:
            left -= line.recv_into(buffer[:left])
        line.sendall(b"!")
"""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Medians, in microseconds.

    Attributes
    ----------
    moved : by bytes, what moving a tensor from worker to worker takes.
    socket : by bytes, what a bare socket takes.
    empty : an empty task from the orchestrator to a worker and back.
    """

    moved: Mapping[int, float]
    socket: Mapping[int, float]
    empty: float

    def ratio(self, size: int) -> float:
        return self.moved[size] / self.socket[size]

    def gigabytes_per_second(self, size: int) -> tuple[float, float]:
        """Return what worker to worker and what the socket reaches."""
        return size / self.moved[size] / 1e3, size / self.socket[size] / 1e3


def first_element(size: int, folder: Path) -> Package:
    """Compile a network for device 0 that reads so many bytes and gives their first four."""
    x = relax.Var("x", relax.TensorType((1, 1, 1, size // 4), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit_output(R.strided_slice(x, axes=[3], begin=[0], end=[1]))
        builder.emit_func_output(y)
    shape = (1, 1, 1, size // 4)
    network = Network("first", builder.finalize(), "x", shape, Preprocess(shape[2:]))
    compiled = compile_network(network, parse_targets("cpu"))
    compiled = replace(compiled, plan=replace(compiled.plan, devices=2))
    return write_package(compiled, folder / f"{size}.lcp")


@contextlib.contextmanager
def bare_socket() -> Iterator[Callable[[memoryview], None]]:
    """A process at the other end of a socket; calls send it bytes and wait for its answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        peer = subprocess.Popen([sys.executable, "-c", _PEER, str(port)])
        stack.callback(peer.wait)
        line, _ = listener.accept()
        stack.enter_context(line)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(data: memoryview) -> None:
            line.sendall(len(data).to_bytes(8, "little"))
            line.sendall(data)
            line.recv(1)

        yield send


@contextlib.contextmanager
def moving(package: Package, addresses: Sequence[Address]) -> Iterator[Call]:
    """Two workers; calls have a tensor moved from the second to the first."""
    x = np.zeros(package.manifest.input_shape, np.float32)
    with BlockingCluster(package, Workers(tuple(addresses)), Settings(in_flight=1)) as cluster:
        cluster.keep("x", [x], source=1)
        yield lambda: cluster.infer(Kept("x"), source=1)


@contextlib.contextmanager
def empty_task(package: Package, addresses: Sequence[Address]) -> Iterator[Call]:
    """Workers; calls have the first compute a task on a tensor of the orchestrator's."""
    x = np.zeros(package.manifest.input_shape, np.float32)
    with BlockingCluster(package, Workers(tuple(addresses)), Settings(in_flight=1)) as cluster:
        yield lambda: cluster.infer(x, source=0)


def measure_overhead(folder: Path, rounds: int, calls: int = 20) -> Overhead:
    """Measure all in turns: in every round some calls of each."""
    sizes = (EMPTY, TENSOR, LARGE)
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(worker_processes(2 * (len(sizes) + 1)))
        pairs = iter([(workers[n].address, workers[n + 1].address) for n in range(0, 8, 2)])
        packages = {size: first_element(size, folder) for size in sizes}
        send = stack.enter_context(bare_socket())
        what: dict[tuple[str, int], Call] = {}
        for size in sizes:
            # Not zeros: memory that nobody has written is one page for all of it.
            data = memoryview(b"x" * (size if size != EMPTY else 1))
            what["moved", size] = stack.enter_context(moving(packages[size], next(pairs)))
            what["socket", size] = lambda data=data: send(data)  # type: ignore[misc]
        what["empty", EMPTY] = stack.enter_context(empty_task(packages[EMPTY], next(pairs)))
        times = _in_turns(what, rounds, calls)
    us = {key: median(values) * 1e6 for key, values in times.items()}

    def beyond(kind: str) -> dict[int, float]:
        return {size: us[kind, size] - us[kind, EMPTY] for size in (TENSOR, LARGE)}

    return Overhead(beyond("moved"), beyond("socket"), us["empty", EMPTY])


def _in_turns(
    what: Mapping[tuple[str, int], Call], rounds: int, calls: int
) -> dict[tuple[str, int], list[float]]:
    times: dict[tuple[str, int], list[float]] = {key: [] for key in what}
    for turn in range(rounds + 1):
        for key, call in what.items():
            for number in range(calls):
                begin = time.perf_counter()
                call()
                took = time.perf_counter() - begin
                if turn > 0 and number > 0:  # caches of another's turn do not count
                    times[key].append(took)
    return times

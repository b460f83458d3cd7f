"""A session with a worker: control of its node, with a deadline on every call.

TVM's RPC calls block without limit when the other end freezes, so each runs in a thread of its
own. Past its deadline, or when Ctrl-C comes, the connection is cut, which ends that thread and
tells the worker; the session is then closed: its next answer could be the last call's.
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy.typing as npt
import tvm
import tvm_ffi
from tvm import rpc

from lcp_tvm import native
from lcp_tvm.errors import LcpError, WorkerError
from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.line import Line, resolve
from lcp_tvm.rpc.worker import READY_LINE, agent_command
from lcp_tvm.vta.simulator import native_error

__all__ = ["WorkerSession", "local_worker", "parse_address"]

CONNECT_TIMEOUT_S = 30.0
"""Covers the start of a session's process, which imports TVM."""

CALL_TIMEOUT_S = 120.0
START_TIMEOUT_S = 60.0
TURN_S = 0.25
LEAVE_TIMEOUT_S = 2.0
CUT_TIMEOUT_S = 10.0
"""Within this a call whose connection was cut has failed."""

Array = npt.NDArray[Any]
_Result = TypeVar("_Result")


class WorkerSession:
    """Control of a worker. Use it in a ``with`` statement."""

    def __init__(
        self, address: Address, session: Any, line: Line, hello: Any, facts: dict[str, Any]
    ) -> None:
        self._address = address
        self._session = session
        self._line = line
        # To let go of a remote object asks the worker, under the interpreter's lock: while the
        # worker is frozen nothing would run here. So all are held until the line is closed or cut.
        self._held: dict[str, Any] = {"hello": hello}
        self._lock = threading.Lock()
        self.facts = facts

    @classmethod
    def connect(cls, host: str, port: int, *, timeout: float = CONNECT_TIMEOUT_S) -> WorkerSession:
        """Open a session.

        Raises
        ------
        WorkerError
            Nothing listens there, the worker is busy, does not answer, or is of another version.
        """
        address = (host, port)
        peer = _within(timeout, address, lambda: resolve(host, port))
        line = Line(peer)

        def greet() -> tuple[Any, Any, dict[str, Any]]:
            session = rpc.connect(*peer)
            line.settle()
            hello = session.get_function("lcp_tvm.rpc.hello")
            return session, hello, json.loads(str(hello()))

        session, hello, facts = _within(timeout, address, greet, line)
        made = cls(address, session, line, hello, facts)
        ours = _native_version()
        if facts.get("version") != ours:
            made.close()
            raise WorkerError(
                f"worker {_name(address)}: it runs version {facts.get('version')}, this is {ours}; "
                "install the same version on both"
            )
        return made

    def call_node(
        self, function: str, arguments: Sequence[object], *, timeout: float = CALL_TIMEOUT_S
    ) -> Any:
        """Call a function of the session's node (docs/runtime.md, "Control").

        Raises
        ------
        WorkerError
            The worker died, refuses, or did not answer in time.
        """
        with self._lock:
            session = self._open()

            def ask() -> Any:
                held = self._held
                if "node" not in held:
                    held["make node"] = session.get_function("lcp_tvm.runtime.SessionNode")
                    held["node"] = held["make node"]()
                name = f"node's {function}"
                if name not in held:
                    held[name] = held["node"][function]
                return held[name](*arguments)

            return self._call(timeout, ask)

    def upload_tensor(self, array: Array, *, timeout: float = CALL_TIMEOUT_S) -> Any:
        """Copy an array to the worker, for `call_node`."""
        with self._lock:
            device = self._open().cpu(0)
            return self._call(timeout, lambda: tvm.runtime.tensor(array, device))

    def load_library(
        self, path: Path, function: str, *, timeout: float = CALL_TIMEOUT_S
    ) -> Callable[..., Any]:
        """Send a shared library and return one of its functions, each call with a deadline.

        Raises
        ------
        WorkerError
            The worker died, cannot load it, or did not answer in time.
        """
        with self._lock:
            session = self._open()

            def load() -> Any:
                # A library that is loaded must not be written over.
                name = f"{len(self._held)}-{path.name}"
                session.upload(bytearray(path.read_bytes()), name)
                module = session.load_module(name)
                self._held[name] = module, found = module, module[function]
                return found

            found = self._call(timeout, load)

        def call(*arguments: object) -> Any:
            with self._lock:
                self._open()
                return self._call(timeout, lambda: found(*arguments))

        return call

    def cut(self) -> None:
        """End the session from any thread, whatever is under way in it."""
        self._line.cut()

    def close(self) -> None:
        """End the session; the worker is free again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        held, self._held = self._held, {}
        if session is None or self._line.is_cut:
            return

        def leave() -> None:
            # Objects of the session may live on, in a traceback say; they must not hold it open.
            session.get_function("CloseRPCConnection")()

        with suppress(WorkerError):  # it does not answer, and its line is cut
            _within(LEAVE_TIMEOUT_S, self._address, leave, self._line)
        held.clear()

    def __enter__(self) -> WorkerSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self._session is None:
            raise WorkerError(f"worker {_name(self._address)}: the session is closed")
        return self._session

    def _call(self, timeout: float, function: Callable[[], _Result]) -> _Result:
        try:
            return _within(timeout, self._address, function, self._line)
        except (WorkerError, KeyboardInterrupt):
            self._line.cut()
            self._session, self._held = None, {}
            raise


def _within(
    timeout: float, address: Address, function: Callable[[], _Result], line: Line | None = None
) -> _Result:
    """Run a blocking RPC call under a deadline, its errors as ours; cut the line if it stays."""
    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((True, function()))
        except Exception as error:
            answers.put((False, error))

    thread = threading.Thread(target=work, daemon=True, name=f"rpc {_name(address)}")
    thread.start()
    try:
        succeeded, answer = _await_answer(answers, timeout)
    except (queue.Empty, KeyboardInterrupt) as error:
        if line is not None:
            line.cut()
            thread.join(CUT_TIMEOUT_S)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise WorkerError(
            f"worker {_name(address)}: no answer within {timeout:.0f} s; "
            "see whether it is frozen or overloaded, and start it again"
        ) from None
    if succeeded:
        result: _Result = answer
        return result
    raise _translated(answer, address) from answer


def _await_answer(answers: queue.SimpleQueue[tuple[bool, Any]], timeout: float) -> tuple[bool, Any]:
    """Wait in short turns: a Ctrl-C just before a wait begins is noticed only when it ends."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        try:
            return answers.get(timeout=min(TURN_S, max(left, 0.0)))
        except queue.Empty:
            if left <= TURN_S:
                raise


def _translated(error: Exception, address: Address) -> Exception:
    """What an error of TVM's RPC means."""
    text = str(error)
    ours = native_error(text)
    name = _name(address)
    if ours is not None:
        reason = str(ours).splitlines()[0]
        return type(ours)(f"worker {name}: {reason}" if isinstance(ours, WorkerError) else reason)
    if "already have key" in text:
        return WorkerError(f"worker {name}: it is busy with another session; try again later")
    if "onnect to" in text or "Connection refused" in text:
        return WorkerError(
            f"worker {name}: nothing listens there; start it with 'lcp-tvm worker' on the board"
        )
    if isinstance(error, socket.gaierror):
        return WorkerError(f"worker {name}: no such host; give the name or IP address of a board")
    if not isinstance(error, RuntimeError | OSError | ValueError):
        return error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    if "Error caught from RPC call" in text:
        return WorkerError(f"worker {name}: it cannot do this: {reason}")
    if "RecvAll" in text:
        reason = "the worker hung up on us"
    return WorkerError(
        f"worker {name}: the session ended ({reason}); "
        "the worker takes a new one, look at its output for the reason"
    )


def _native_version() -> str:
    native.load()
    return str(tvm_ffi.get_global_func("lcp_tvm.Version")())


def _name(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def local_worker(
    config: str = "-",
    *,
    host: str = "127.0.0.1",
    cores: int = 1,
    timeout: float = START_TIMEOUT_S,
) -> Iterator[Address]:
    """A worker process on this machine for the length of a ``with`` statement.

    Parameters
    ----------
    config : name or path of the VTA config it has; ``-`` takes programs of any.
    host : address of this machine to listen on.
    cores : compute threads.

    Raises
    ------
    WorkerError
        It does not start.
    """
    try:
        command = agent_command(host, config=config, cores=cores, attached=True)
    except LcpError as error:
        raise WorkerError(f"local worker: it did not start: {error}") from error
    with run_worker(command, timeout) as address:
        yield address


@contextmanager
def run_worker(command: Sequence[str], timeout: float = START_TIMEOUT_S) -> Iterator[Address]:
    """The worker that a command runs, for the length of a ``with`` statement.

    Parameters
    ----------
    command : of an agent that is attached to its standard input.

    Raises
    ------
    WorkerError
        It does not start.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # closed when this process ends, however it does
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    messages: list[str] = []
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, lines.put), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, messages.append), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        address = _await_address(process, lines, timeout)
        if address is None:
            process.kill()
            readers[1].join()
            last = messages[-1] if messages else f"it said nothing for {timeout:.0f} s"
            raise WorkerError(f"local worker: it did not start: {last}")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in readers:
            reader.join()
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()


def _drain(stream: Any, take: Callable[[str], None]) -> None:
    for line in stream:
        take(line.rstrip("\n"))


def _await_address(
    process: subprocess.Popen[str], lines: queue.SimpleQueue[str], timeout: float
) -> Address | None:
    """Where a worker says that it listens; None when it ends or says nothing in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None:
                return None
            continue
        if line.startswith(READY_LINE):
            return parse_address(line.removeprefix(READY_LINE))
    return None

"""Worker processes that tests may kill, freeze, and start again on the same port."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil

from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.worker import READY_LINE, agent_command

START_TIMEOUT_S = 60.0


class WorkerProcess:
    """A worker on this machine, in a process of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        core: int | None = None,
        cores: int | None = None,
        memory_mb: int | None = None,
    ) -> None:
        """Start it and wait until it listens.

        Parameters
        ----------
        folder : for its temporary files, which it leaves there when it is killed.
        core : the only one of this machine's that it may use.
        cores : compute threads; None for one on each core that it may use.
        memory_mb : what it may hold.
        """
        self._folder = folder
        self._cores = cores
        self._core = core
        self._memory_mb = memory_mb
        self.address: Address = ("127.0.0.1", 0)
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """Return the worker's own process and those of its sessions."""
        with contextlib.suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End all of it at once, as when its board loses power."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._close_streams()

    def kill_sessions(self) -> None:
        """End the processes of its sessions, as when a network crashes one."""
        for process in self.processes()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again where it listened, after `kill`."""
        self._process = self._start()

    def interrupt(self, timeout: float) -> int:
        """Press Ctrl-C, and return its exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout)

    def stop(self) -> None:
        """End it, whatever state it is in; nothing of it may be left."""
        if self._process.poll() is None:
            processes = self.processes()
            self.thaw()
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
        self._close_streams()

    def _start(self) -> subprocess.Popen[bytes]:
        core = self._core
        process = subprocess.Popen(
            agent_command(
                *self.address, cores=self._cores, memory_mb=self._memory_mb, attached=True
            ),
            stdin=subprocess.PIPE,  # closed when this process ends, however it does
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self._folder)},
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        assert process.stdout is not None
        line = _ready_line(process.stdout)
        if line is None:
            process.kill()
            process.communicate()
            raise RuntimeError("the worker did not start; its messages are above")
        self.address = parse_address(line.removeprefix(READY_LINE))
        return process

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _close_streams(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def worker_processes(
    count: int, *, pinned: bool = False, cores: int | None = None, memory_mb: int | None = None
) -> Iterator[list[WorkerProcess]]:
    """Workers on this machine for the length of a ``with`` statement.

    Parameters
    ----------
    pinned : whether each gets a core of its own, from the first one on.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = []
        for number in range(count):
            core = number if pinned else None
            workers.append(WorkerProcess(folder, core=core, cores=cores, memory_mb=memory_mb))
            stack.callback(workers[-1].stop)
        yield workers


def _ready_line(stream: IO[bytes]) -> str | None:
    """Return the line that says where a worker listens; None when it ends or is silent."""
    end = time.monotonic() + START_TIMEOUT_S
    text = b""
    while not text.endswith(b"\n"):
        if not select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
            return None
        piece = os.read(stream.fileno(), 4096)
        if not piece:
            return None
        text += piece
    line = text.decode().splitlines()[0]
    return line if line.startswith(READY_LINE) else None

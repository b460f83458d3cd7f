"""Network namespaces on this machine, joined by a switch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from types import TracebackType

from lcp_tvm.errors import InputError, WorkerError
from lcp_tvm.predict.cluster import Network
from lcp_tvm.rpc.emulation.switch import (
    MAX_MACHINES,
    Ready,
    Spec,
    Tally,
    inside,
    spec_json,
)


def why_not() -> str | None:
    """Return why this machine cannot emulate a network; None when it can."""
    if not sys.platform.startswith("linux"):
        return "emulated boards need Linux"
    if os.geteuid() != 0:
        return "emulated boards need root, for network namespaces"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "emulated boards need /dev/net/tun"
    if shutil.which("ip") is None:
        return "emulated boards need the command ip (Debian: iproute2)"
    return None


class EmulatedNetwork:
    """Machines, as far as their network goes. Use it in a ``with`` statement.

    Attributes
    ----------
    addresses : by machine, once it has begun.
    real_time : whether the switch runs before all other processes.
    tally : what passed the switch since `limit`, once it has ended.
    """

    addresses: tuple[str, ...]
    real_time: bool
    tally: Tally

    def __init__(self, network: Network, machines: int, core: int | None = None) -> None:
        """Take what to emulate; ``core`` is where the switch runs, None leaves that open.

        Raises
        ------
        InputError
            This machine cannot, or there are too many machines.
        """
        reason = why_not()
        if reason is not None:
            raise InputError(reason)
        if machines > MAX_MACHINES:
            raise InputError(f"{machines} machines: at most {MAX_MACHINES} can be emulated")
        self._spec = Spec(machines, network, core)
        self._namespaces: list[int] = []

    def __enter__(self) -> EmulatedNetwork:
        """Make the machines.

        Raises
        ------
        WorkerError
            The switch does not start.
        """
        self._switch = subprocess.Popen(
            [sys.executable, "-m", "lcp_tvm.rpc.emulation.switch", spec_json(self._spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we close its lifeline
        )
        try:
            ready = Ready(**json.loads(self._said()))
            self.addresses = tuple(ready.addresses)
            self.real_time = ready.real_time
            for number in ready.namespaces:
                path = f"/proc/{ready.pid}/fd/{number}"
                self._namespaces.append(os.open(path, os.O_RDONLY))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                assert self._switch.stdin is not None
                self._switch.stdin.close()
                self.tally = Tally(**json.loads(self._said()))
        finally:
            self._release()

    def limit(self) -> None:
        """Put the network's rate and latency in force; until then everything is quick."""
        assert self._switch.stdin is not None
        self._switch.stdin.write("!")
        self._switch.stdin.flush()

    def inside(self, machine: int) -> AbstractContextManager[None]:
        """Have this thread, and what it starts, on a machine."""
        return inside(self._namespaces[machine])

    def _said(self) -> str:
        """Return the switch's next line."""
        assert self._switch.stdout is not None
        line = self._switch.stdout.readline()
        if not line:
            raise WorkerError("emulation: the switch has ended; its messages are above")
        return line

    def _release(self) -> None:
        """End the switch; namespaces end with their last process."""
        self._switch.kill()
        with self._switch:  # closes its pipes and waits
            pass
        for namespace in self._namespaces:
            os.close(namespace)
        self._namespaces.clear()

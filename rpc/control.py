"""Control of a node: its functions in docs/runtime.md, "Control", near and far."""

from __future__ import annotations

import json
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm_ffi

from lcp_tvm import native
from lcp_tvm.errors import LcpError, WorkerError
from lcp_tvm.executor import first_line
from lcp_tvm.rpc.session import CALL_TIMEOUT_S, WorkerSession
from lcp_tvm.vta.simulator import native_error

PROTOCOL = 2
PIECE_BYTES = 1 << 20
"""Of a file that is uploaded, at a time: the deadline holds for each."""

CONNECT_TIMEOUT_S = 10.0
MARGIN_S = 5.0
"""An answer may take so much longer than what was asked for."""

Array = npt.NDArray[Any]
Peer = tuple[int, str, int]
"""A node's number, and the host and port where it listens."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node says of itself.

    Attributes
    ----------
    config : the VTA config that its programs must have; "none": any.
    processor : as `lcp_tvm.cpu.processor` names it.
    memory_bytes : its limit, 0 for none.
    free_bytes : of it, or of the machine.
    """

    version: str
    protocol: int
    config: str
    processor: str
    cores: int
    memory_bytes: int
    free_bytes: int
    pid: int


class Node(ABC):
    """A node, as far as the orchestrator has to do with it between frames.

    Every method raises `WorkerError` when the node is gone, refuses, or does not answer in time.
    """

    @abstractmethod
    def call(self, function: str, *arguments: object, timeout_s: float | None = None) -> Any:
        """Call a function of the node.

        Parameters
        ----------
        timeout_s : None for as long as the node may take for any call.
        """

    @abstractmethod
    def tensor(self, array: Array) -> Any:
        """Return a tensor that its functions take."""

    @abstractmethod
    def cut(self) -> None:
        """Have calls under way fail, and later ones; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Leave the node; it forgets all it was told."""

    def hello(self) -> Facts:
        """Ask who it is."""
        values = json.loads(str(self.call("hello")))
        try:
            return Facts(**{name: values[name] for name in Facts.__slots__})
        except (KeyError, TypeError) as error:
            raise WorkerError(f"the node introduces itself in an unknown way: {error}") from error

    def upload(self, files: Mapping[str, bytes]) -> int:
        """Bring it the files that it does not hold, by their SHA-256; return the bytes sent."""
        held = json.loads(str(self.call("has", json.dumps(list(files)))))
        sent = 0
        for sha256, data in files.items():
            if sha256 in held:
                continue
            for offset in range(0, len(data), PIECE_BYTES):
                piece = data[offset : offset + PIECE_BYTES]
                self.call("store", sha256, offset, len(data), piece)
            sent += len(data)
        return sent

    def load(self, name: str, functions: Sequence[str], so: str, vta: str | None) -> None:
        """Make the functions of a module ready, from files that it holds."""
        values = {"name": name, "functions": list(functions), "so": so, "vta": vta}
        self.call("load", json.dumps(values))

    def prepare(self, program: str) -> int:
        """Tell it the program; return the port where it listens for its peers."""
        return int(json.loads(str(self.call("prepare", program)))["port"])

    def connect(self, peers: Iterable[Peer], timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Have it connect to peers of lower numbers."""
        text = json.dumps(list(peers))
        self.call("connect", text, int(timeout_s * 1e3), timeout_s=timeout_s + MARGIN_S)

    def route(self, route: str) -> None:
        """Tell it a route."""
        self.call("route", route)

    def keep(self, name: str, arrays: Sequence[Array]) -> None:
        """Give it inputs that frames may begin with."""
        self.call("keep", name, *map(self.tensor, arrays))

    def stats(self) -> dict[str, Any]:
        """Return its counters since the last call."""
        counters: dict[str, Any] = json.loads(str(self.call("stats")))
        return counters


class FarNode(Node):
    """The node of a worker's session."""

    def __init__(self, session: WorkerSession, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Take its session, and how long a call may take."""
        self._session = session
        self._timeout_s = timeout_s

    def call(self, function: str, *arguments: object, timeout_s: float | None = None) -> Any:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        return self._session.call_node(function, arguments, timeout=timeout_s)

    def tensor(self, array: Array) -> Any:
        return self._session.upload_tensor(array, timeout=self._timeout_s)

    def cut(self) -> None:
        self._session.cut()

    def close(self) -> None:
        self._session.close()


class NearNode(Node):
    """A node in this process: the client, and those of tests."""

    def __init__(self, module: Any) -> None:
        """Take what ``lcp_tvm.runtime.Node`` returned."""
        self.module = module

    @classmethod
    def make(cls, *, cores: int = 0, silence_s: float = 3.0, host: str = "127.0.0.1") -> NearNode:
        """Make a node, which ends with the last reference; without cores it computes nothing."""
        native.load()
        options = {
            "cores": cores,
            "memory_bytes": 0,
            "files": "",
            "host": host,
            "silence_ms": int(silence_s * 1e3),
        }
        node = cls(tvm_ffi.get_global_func("lcp_tvm.runtime.Node")(json.dumps(options)))
        # To drop the module joins its threads under the interpreter's lock, which they may want;
        # a call of it lets go of the lock.
        weakref.finalize(node, node.module["unload"])
        return node

    def call(self, function: str, *arguments: object, timeout_s: float | None = None) -> Any:
        try:
            return self.module[function](*arguments)
        except (RuntimeError, ValueError, OSError) as error:
            raise near_error(error) from error

    def tensor(self, array: Array) -> Any:
        return as_tensor(array)

    def cut(self) -> None:
        pass

    def close(self) -> None:
        self.call("unload")


def as_tensor(array: Array) -> Any:
    """Return an array as a tensor; both are the same memory where the array allows it."""
    flags = array.flags
    whole = array if flags.c_contiguous and flags.writeable else np.array(array, order="C")
    return tvm_ffi.from_dlpack(whole)


def near_error(error: Exception) -> LcpError:
    """Return what an error of a node in this process means."""
    return native_error(str(error)) or WorkerError(first_line(error))

"""The agent, a program that needs no Python, as a worker on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

from lcp_tvm import native
from lcp_tvm.rpc.address import Address
from lcp_tvm.vta.config import load_config

READY_LINE = "lcp-tvm worker listening on"
"""Printed with ``HOST:PORT`` once the port listens."""

ANY_CONFIG = "-"


def agent_command(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tracker: Address | None = None,
    config: str = ANY_CONFIG,
    cores: int | None = None,
    memory_mb: int | None = None,
    files: Path | None = None,
    attached: bool = False,
) -> list[str]:
    """Return a command that runs a worker until SIGTERM or SIGINT.

    Parameters
    ----------
    port : 0 for one that the system assigns.
    tracker : address of a TVM RPC tracker to register with.
    config : name or path of the VTA config this board has; ``-`` takes programs of any.
    cores : compute threads; None for all that the process may use.
    memory_mb : most memory for constants and tensors, in MiB; None for no limit.
    files : where uploaded modules are kept for later runs; None keeps them as long as it runs.
    attached : it ends when its standard input, a pipe, is closed.

    Raises
    ------
    ConfigError
        There is no such config, or it is wrong.
    InputError
        The agent was not built or not installed.
    """
    command = [*_agent(), "--host", host, "--port", str(port)]
    if tracker is not None:
        name = f"[{tracker[0]}]" if ":" in tracker[0] else tracker[0]
        command += ["--tracker", f"{name}:{tracker[1]}"]
    if config != ANY_CONFIG:
        command += ["--vta", load_config(config).to_json()]
    for option, value in (("--cores", cores), ("--memory", memory_mb), ("--files", files)):
        if value is not None:
            command += [option, str(value)]
    return [*command, "--attached"] if attached else command


def become(command: list[str], name: str) -> NoReturn:
    """Replace this process by a command, which calls itself ``name`` in messages."""
    sys.stdout.flush()
    os.execv(command[0], [name, *command[1:]])


def main() -> NoReturn:
    """``lcp-agent``: the agent with its own options and the libraries of this installation."""
    become([*_agent(), *sys.argv[1:]], "lcp-agent")


def _agent() -> list[str]:
    """The agent, and where the libraries are that it loads, which may be in other folders."""
    command = [str(native.agent_path())]
    for package in ("tvm_ffi", "tvm"):
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            command += ["--libraries", str(Path(folder, "lib"))]
    return command

"""Boards over SSH: what they are, and files handed to a command that runs there as root."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources

import asyncssh

from lcp_tvm.errors import WorkerError

CONNECT_TIMEOUT_S = 15.0
BREAK_TIMEOUT_S = 1.0
"""Until asyncssh calls a connection closed that broke; this takes no time."""
COMMAND_TIMEOUT_S = 300.0
"""For one command; installing takes seconds, on a slow card more."""

_BROKEN = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach a board; the password serves SSH, where keys do not, and sudo."""

    host: str
    user: str
    port: int = 22
    password: str | None = None


@asynccontextmanager
async def connected(login: Login) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to a board, for the length of an ``async with`` statement.

    Raises
    ------
    WorkerError
        It cannot be made, or breaks: the message says what to do.
    """
    try:
        async with asyncssh.connect(
            login.host,
            login.port,
            username=login.user,
            password=login.password,
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalive_interval=5,
        ) as connection:
            try:
                yield connection
            except asyncssh.ChannelOpenError as error:
                with suppress(TimeoutError):  # it is the board that refused
                    await asyncio.wait_for(connection.wait_closed(), BREAK_TIMEOUT_S)
                    raise asyncssh.ConnectionLost(str(error)) from error
                raise
    except asyncssh.HostKeyNotVerifiable as error:
        raise WorkerError(
            f"{login.host}: its key is not known here; connect once with "
            f"'ssh -p {login.port} {login.user}@{login.host}' and compare it"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise WorkerError(
            f"{login.host}: does not let {login.user} in; copy your key with ssh-copy-id, say "
            "--user, or say --ask-password"
        ) from error
    except (asyncssh.ConnectionLost, asyncssh.DisconnectError, *_BROKEN) as error:
        raise WorkerError(
            f"{login.host}: the connection broke; an upload leaves nothing, and what had begun "
            "goes on: look with 'lcp-tvm board probe', or try again"
        ) from error
    except (OSError, TimeoutError) as error:
        raise WorkerError(
            f"{login.host}: SSH on port {login.port} does not answer "
            f"({error or 'no answer in time'}); is the board on, and its sshd?"
        ) from error
    except asyncssh.Error as error:
        raise WorkerError(f"{login.host}: SSH: {error}") from error


async def ask(connection: asyncssh.SSHClientConnection, command: str) -> str:
    """What a command prints; empty when it fails."""
    done = await connection.run(command, timeout=COMMAND_TIMEOUT_S)
    return str(done.stdout or "").strip() if done.exit_status == 0 else ""


async def hand_over(
    connection: asyncssh.SSHClientConnection,
    login: Login,
    data: bytes,
    script: str,
    arguments: Sequence[str] = (),
) -> str:
    """Run one of our scripts as root, beside ``data`` as the file ``file``; what it prints.

    A link that breaks before the board has all of it leaves nothing there; later, the script runs
    to its end.

    Parameters
    ----------
    script : name of a file in ``lcp_tvm/board/remote``.

    Raises
    ------
    WorkerError
        The board has no room, or the script fails: with what it said.
    """
    sum_ = hashlib.sha256(data).hexdigest()
    words = ("sh", "-c", _script("receive.sh"), "sh", sum_, _script(script), *arguments)
    process = await connection.create_process(shlex.join(words))
    async with process:
        folder = (await process.stdout.readline()).strip()
        if not folder:
            raise WorkerError(f"{login.host}: no folder for the upload: {await _said(process)}")
        await _upload(connection, login, data, f"{folder}/file")
        process.stdin.write(f"run\n{login.password or ''}\n")
        process.stdin.write_eof()
        printed, said = str(await process.stdout.read()), await _said(process)
        await asyncio.wait_for(process.wait_closed(), COMMAND_TIMEOUT_S)
    if process.exit_status != 0:
        if "password" in said:
            said = f"{login.user} may not use sudo without its password; say --ask-password"
        raise WorkerError(f"{login.host}: {said or 'the script failed without a word'}")
    return printed


async def _upload(
    connection: asyncssh.SSHClientConnection, login: Login, data: bytes, path: str
) -> None:
    try:
        async with connection.start_sftp_client() as sftp, sftp.open(path, "wb") as file:
            await file.write(data)
    except asyncssh.SFTPError as error:
        if isinstance(error, asyncssh.SFTPConnectionLost):
            raise asyncssh.ConnectionLost(str(error)) from error
        raise WorkerError(
            f"{login.host}: the upload of {len(data) >> 10} KiB failed ({error.reason}); is the "
            "card full? see 'df -h' there"
        ) from error


async def _said(process: asyncssh.SSHClientProcess[str]) -> str:
    """The last line of its errors."""
    lines = str(await process.stderr.read()).strip().splitlines()
    return lines[-1] if lines else ""


def _script(name: str) -> str:
    return (resources.files("lcp_tvm.board") / "remote" / name).read_text()

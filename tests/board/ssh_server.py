"""An SSH server that runs commands in a board's system that lies in a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncssh

from lcp_tvm.board.ssh import Login

USER, PASSWORD = "xilinx", "secret"


class _Server(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


class SshBoard:
    """A board with an SSH server.

    Attributes
    ----------
    root : where its system lies; ``root/bin`` comes first in the commands' path.
    connections : that were made.
    commands : that were run; they outlive their connection.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = 0
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.commands: list[asyncio.Task[None]] = []
        (root / "tmp").mkdir(parents=True)
        self.put_program(
            "sudo",
            'shift 3\nread -r given\n[ "$given" = secret ] || '
            '{ echo "sudo: no password was provided" >&2; exit 1; }\nexec "$@"',
        )

    def put_program(self, name: str, text: str) -> None:
        """Put a shell script into the path of commands."""
        program = self.root / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    @property
    def uploads(self) -> list[str]:
        """Folders of uploads that are still there."""
        return sorted(path.name for path in (self.root / "tmp").glob("lcp-tvm.?????*"))

    async def run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.commands.append(asyncio.create_task(self._run(process)))

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "DESTDIR": str(self.root),
            "TMPDIR": str(self.root / "tmp"),
        }
        pipe = asyncio.subprocess.PIPE
        ran = await asyncio.create_subprocess_exec(
            "sh", "-c", process.command or "", env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        feeder = asyncio.create_task(_feed(process, ran.stdin))
        await asyncio.gather(_pump(ran.stdout, process.stdout), _pump(ran.stderr, process.stderr))
        status = await ran.wait()
        feeder.cancel()
        process.exit(status)


async def _feed(
    process: asyncssh.SSHServerProcess[bytes], stdin: asyncio.StreamWriter | None
) -> None:
    """What the client writes, to its end or the link's."""
    assert stdin is not None
    try:
        while data := await process.stdin.read(1 << 16):
            stdin.write(data)
    except (asyncssh.Error, OSError):
        pass  # the link broke: the command sees the end of its input
    finally:
        stdin.close()


async def _pump(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    assert source is not None
    while data := await source.read(1 << 16):
        with suppress(OSError):
            sink.write(data)


@asynccontextmanager
async def ssh_board(root: Path) -> AsyncIterator[SshBoard]:
    """Serve a board in ``root``, on a free port of 127.0.0.1."""
    board = SshBoard(root)

    class Server(_Server):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            board.connections.append(conn)

    async with asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Server,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=board.run,
        encoding=None,
        sftp_factory=True,
    ) as server:
        board.port = server.sockets[0].getsockname()[1]
        yield board
    await asyncio.gather(*board.commands)


@asynccontextmanager
async def a_board(root: Path) -> AsyncIterator[tuple[SshBoard, Login]]:
    """Serve a board that this machine knows."""
    async with ssh_board(root) as board:
        key = await asyncssh.get_server_host_key("127.0.0.1", board.port)
        assert key is not None
        line = f"[127.0.0.1]:{board.port} {key.export_public_key().decode()}"
        (Path.home() / ".ssh/known_hosts").write_text(line)
        yield board, Login("127.0.0.1", USER, board.port, PASSWORD)


def on_board(root: Path, story: Callable[[SshBoard, Login], Awaitable[None]]) -> None:
    """Run a story on a board."""

    async def run() -> None:
        async with a_board(root) as (board, login):
            await story(board, login)

    asyncio.run(run())

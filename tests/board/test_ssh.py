"""Files handed to commands on boards: what arrives, and what is left when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from lcp_tvm.board import ssh
from lcp_tvm.board.ssh import Login, ask, connected, hand_over
from lcp_tvm.errors import WorkerError
from tests.board.ssh_server import USER, SshBoard, on_board

DATA = bytes(range(256)) * 4096


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that makes a text one of our scripts."""
    ours = ssh._script

    def make(text: str) -> str:
        monkeypatch.setattr(ssh, "_script", lambda name: text if name == "test.sh" else ours(name))
        return "test.sh"

    return make


def test_a_script_finds_the_file_and_its_arguments(
    root: Path, script: Callable[[str], str]
) -> None:
    name = script('cp file "$DESTDIR/got"; echo "$1|$2" >"$DESTDIR/words"')

    async def story(board: SshBoard, login: Login) -> None:
        async with connected(login) as connection:
            await hand_over(connection, login, DATA, name, ["a b", "c'd\"$HOME"])
        assert (root / "got").read_bytes() == DATA
        assert (root / "words").read_text() == "a b|c'd\"$HOME\n"
        assert board.uploads == []

    on_board(root, story)


def test_a_failing_script_is_quoted_and_leaves_nothing(
    root: Path, script: Callable[[str], str]
) -> None:
    name = script('echo "first" >&2; echo "no such luck" >&2; exit 7')

    async def story(board: SshBoard, login: Login) -> None:
        async with connected(login) as connection:
            with pytest.raises(WorkerError, match=r"^127\.0\.0\.1: no such luck$"):
                await hand_over(connection, login, DATA, name)
        assert board.uploads == []

    on_board(root, story)


def test_a_link_that_breaks_during_the_upload_leaves_nothing(
    root: Path, script: Callable[[str], str]
) -> None:
    name = script('touch "$DESTDIR/ran"')

    async def story(board: SshBoard, login: Login) -> None:
        async def cut() -> None:
            while not board.uploads:
                await asyncio.sleep(0.01)
            for connection in board.connections:
                connection.abort()

        async def upload() -> None:
            async with connected(login) as connection:
                await hand_over(connection, login, DATA * 64, name)

        cutter = asyncio.create_task(cut())
        with pytest.raises(WorkerError, match="the connection broke"):
            await upload()
        await cutter
        while board.uploads:
            await asyncio.sleep(0.01)
        assert not (root / "ran").exists()

    on_board(root, story)


def test_a_link_that_breaks_later_does_not_stop_the_script(
    root: Path, script: Callable[[str], str]
) -> None:
    wait = 'while [ ! -e "$DESTDIR/go" ]; do sleep 0.05; done'
    name = script(f'touch "$DESTDIR/begun"; {wait}; touch "$DESTDIR/done"')

    async def story(board: SshBoard, login: Login) -> None:
        async def cut() -> None:
            while not (root / "begun").exists():
                await asyncio.sleep(0.01)
            for connection in board.connections:
                connection.abort()

        async def upload() -> None:
            async with connected(login) as connection:
                await hand_over(connection, login, DATA, name)

        cutter = asyncio.create_task(cut())
        with pytest.raises(WorkerError):
            await upload()
        await cutter
        (root / "go").touch()
        while not (root / "done").exists() or board.uploads:
            await asyncio.sleep(0.01)

    on_board(root, story)


def test_two_pcs_at_once_take_turns(root: Path, script: Callable[[str], str]) -> None:
    name = script('touch "$DESTDIR/begun"; while [ ! -e "$DESTDIR/go" ]; do sleep 0.05; done')

    async def story(board: SshBoard, login: Login) -> None:
        async with connected(login) as first, connected(login) as second:
            one = asyncio.create_task(hand_over(first, login, DATA, name))
            while not (root / "begun").exists():
                await asyncio.sleep(0.01)
            with pytest.raises(WorkerError, match="another PC is changing this board"):
                await hand_over(second, login, DATA, name)
            (root / "go").touch()
            await one

    on_board(root, story)


def test_a_full_card_is_named(
    root: Path, script: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = script("true")

    async def story(board: SshBoard, login: Login) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(asyncssh.SFTPServer, "write", full)
        async with connected(login) as connection:
            with pytest.raises(WorkerError, match=r"upload .* failed .*is the card full\?"):
                await hand_over(connection, login, DATA, name)
        while board.uploads:
            await asyncio.sleep(0.01)

    on_board(root, story)


def test_sudo_that_wants_a_password_says_which_option(
    root: Path, script: Callable[[str], str]
) -> None:
    name = script("true")

    async def story(board: SshBoard, login: Login) -> None:
        async with connected(login) as connection:
            without = Login(login.host, login.user, login.port)
            with pytest.raises(WorkerError, match=r"may not use sudo .*--ask-password"):
                await hand_over(connection, without, DATA, name)

    on_board(root, story)


def test_an_unknown_key_is_not_trusted(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        (Path.home() / ".ssh/known_hosts").write_text("")
        with pytest.raises(WorkerError, match="its key is not known here; connect once with 'ssh"):
            async with connected(login):
                pass

    on_board(root, story)


def test_a_wrong_password_is_refused(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        with pytest.raises(WorkerError, match=f"does not let {USER} in; .*--ask-password"):
            async with connected(Login(login.host, USER, login.port, "wrong")):
                pass

    on_board(root, story)


def test_a_closed_port_is_named(root: Path) -> None:
    async def run() -> None:
        with pytest.raises(WorkerError, match="SSH on port 1 does not answer"):
            async with connected(Login("127.0.0.1", USER, 1)):
                pass

    asyncio.run(run())


def test_ask_says_what_a_command_prints(root: Path) -> None:
    async def story(board: SshBoard, login: Login) -> None:
        async with connected(login) as connection:
            assert await ask(connection, "echo yes") == "yes"
            assert await ask(connection, "echo no; false") == ""

    on_board(root, story)

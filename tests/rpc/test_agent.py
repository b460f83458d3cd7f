"""The agent: clients before they have a session, its tracker, its command line, its memory."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcp_tvm.rpc.session import WorkerSession, local_worker, parse_address
from lcp_tvm.rpc.worker import READY_LINE, agent_command

Address = tuple[str, int]
MAGIC = 0xFF271
BUSY, WRONG_KEY = MAGIC + 1, MAGIC + 2
TRACKER_MAGIC = 0x2F271
PUT, UPDATE_INFO, GET_PENDING = 3, 5, 7
IDLE_KB = 15_000
WAIT_S = 20.0
MAX_GUESTS = 16
"""So many clients are greeted at a time; a further one drives out the oldest."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Address]:
    with local_worker("pynq_z1") as address:
        yield address


def greeting(key: bytes = b"client:", magic: int = MAGIC) -> bytes:
    return struct.pack("<Ii", magic, len(key)) + key


def answer(connection: socket.socket) -> int | None:
    """The code of the agent's answer; None when it hangs up."""
    connection.settimeout(WAIT_S)
    try:
        data = connection.recv(4, socket.MSG_WAITALL)
    except ConnectionResetError:
        return None
    return int(struct.unpack("<I", data)[0]) if len(data) == 4 else None


def said(address: Address, data: bytes) -> int | None:
    """The answer to these bytes."""
    with socket.create_connection(address) as connection:
        with suppress(OSError):  # it may have hung up already
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        return answer(connection)


@pytest.mark.parametrize("key", [b"client:", b"client: -timeout=3"])
def test_a_client_is_welcomed_with_the_key_of_the_board(agent: Address, key: bytes) -> None:
    with socket.create_connection(agent) as connection:
        connection.sendall(greeting(key))
        assert answer(connection) == MAGIC
        (size,) = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))
        assert connection.recv(size, socket.MSG_WAITALL) == b"server:lcp-pynq_z1"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        greeting(b"server:x"),
        struct.pack("<Ii", MAGIC, 1025),
        struct.pack("<Ii", MAGIC, -1),
        greeting()[:-3],
        b"",
    ],
)
def test_what_is_no_client_is_refused(agent: Address, data: bytes) -> None:
    assert said(agent, data) is None


def test_a_key_that_nobody_offered_is_refused(agent: Address) -> None:
    assert said(agent, greeting(b"client:lcp-pynq_z1:1234")) == WRONG_KEY


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=40), magic=st.booleans())
def test_random_bytes_are_refused(agent: Address, data: bytes, magic: bool) -> None:
    """Refused, and the agent goes on."""
    data = (struct.pack("<I", MAGIC) if magic else b"") + data
    assert said(agent, data) in (None, WRONG_KEY)


def test_clients_that_send_byte_by_byte_hold_nobody_up(agent: Address) -> None:
    """More of them than are greeted at a time, and one that never says a word."""
    with ExitStack() as stack:
        slow: list[socket.socket] = []
        for count in range(40):
            slow.append(stack.enter_context(socket.create_connection(agent)))
            slow[-1].sendall(greeting()[: count % 8])
            if count >= MAX_GUESTS:  # or its backlog runs over, and TCP tries again in a second
                assert answer(slow[count - MAX_GUESTS]) is None
        with WorkerSession.connect(*agent) as session:
            assert session.facts["pid"]
            slow[-1].setblocking(False)
            with pytest.raises(BlockingIOError):  # its time is not over
                slow[-1].recv(1)


def test_a_greeting_in_pieces(agent: Address) -> None:
    with socket.create_connection(agent) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in greeting():
            connection.sendall(bytes([byte]))
        assert answer(connection) == MAGIC


def test_a_silent_client_is_turned_away(agent: Address) -> None:
    with socket.create_connection(agent) as connection:
        connection.sendall(greeting()[:5])
        assert answer(connection) is None


def test_idle_it_takes_little_memory(agent: Address) -> None:
    """The agent and a session that has nothing loaded; measured, not estimated."""
    with WorkerSession.connect(*agent) as session:
        process = psutil.Process(session.facts["pid"])
        for status in (process, process.parent()):
            text = Path(f"/proc/{status.pid}/status").read_text()
            assert peak_kb(text) < IDLE_KB


def peak_kb(status: str) -> int:
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


class FakeTracker:
    """Answers as a tracker does, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()

    def accept(self) -> socket.socket:
        self._listener.settimeout(WAIT_S)
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        assert connection.recv(4, socket.MSG_WAITALL) == struct.pack("<I", TRACKER_MAGIC)
        connection.sendall(struct.pack("<I", TRACKER_MAGIC))
        return connection

    def close(self) -> None:
        self._listener.close()


def request_of(connection: socket.socket) -> list[object]:
    (size,) = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))
    request: list[object] = json.loads(connection.recv(size, socket.MSG_WAITALL))
    return request


def reply(connection: socket.socket, value: object) -> None:
    data = json.dumps(value).encode()
    connection.sendall(struct.pack("<I", len(data)) + data)


@pytest.fixture
def tracker() -> Iterator[FakeTracker]:
    with closing(FakeTracker()) as tracker:
        yield tracker


@pytest.fixture
def tracked(tracker: FakeTracker) -> Iterator[Address]:
    """An agent that offers itself at the tracker."""
    command = agent_command(config="sim", tracker=tracker.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield parse_address(process.stdout.readline().removeprefix(READY_LINE))
        process.terminate()
        assert process.wait(timeout=WAIT_S) == 0


def test_a_tracker_is_told_who_and_where(tracker: FakeTracker, tracked: Address) -> None:
    """Magic, who it is, a secret; the secret opens a session, then a new one comes."""
    with tracker.accept() as connection:
        assert request_of(connection) == [
            UPDATE_INFO,
            {"key": "server:lcp-sim", "addr": ["127.0.0.1", tracked[1]]},
        ]
        reply(connection, 0)
        put, key, (port, secret), host = request_of(connection)  # type: ignore[misc]
        assert (put, key, port, host) == (PUT, "lcp-sim", tracked[1], "127.0.0.1")
        reply(connection, 0)
        assert request_of(connection) == [GET_PENDING]
        assert said(tracked, greeting(b"client:" + secret.encode())) == MAGIC
        reply(connection, [])
        while (request := request_of(connection)) == [GET_PENDING]:
            reply(connection, [])
        assert request[0] == PUT
        assert request[2] != [port, secret]


@pytest.mark.parametrize("data", [b"HTTP", struct.pack("<II", TRACKER_MAGIC, 1 << 20), b""])
def test_what_is_no_tracker_is_left_and_tried_again(
    tracker: FakeTracker, tracked: Address, data: bytes
) -> None:
    """The agent serves all the while."""
    connection, _ = tracker._listener.accept()
    with connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        tracker.accept().close()
        assert said(tracked, greeting()) == MAGIC


def test_a_tracker_that_never_answers_holds_nobody_up(
    tracker: FakeTracker, tracked: Address
) -> None:
    with tracker.accept():
        assert said(tracked, greeting()) == MAGIC


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cores", "0"], "--cores '0': must be a number from 1 to 1024"),
        (["--memory", "lots"], "--memory 'lots': must be a number from 1 to 16777216"),
        (["--port", "65536"], "--port '65536': must be a number from 0 to 65535"),
        (["--tracker", "here"], "--tracker 'here': must be HOST:PORT"),
        (["--tracker", "no-such-host.invalid:1"], "--tracker 'no-such-host.invalid': "),
        (["--vta", "/no/file.json"], "VTA config /no/file.json cannot be read"),
        (["--vta", "{}"], "TARGET"),
        (["--speed", "9"], "--speed: is no option; see lcp-agent --help"),
        (["--cores"], "--cores: needs a value; see lcp-agent --help"),
        (["9090"], "9090: is no option"),
    ],
)
def test_options_that_are_wrong(options: list[str], message: str) -> None:
    command = [*agent_command(), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_config_file_gives_the_board_its_name(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "vta_configs" / "sim.json").read_text()
    config = tmp_path / "mine.json"
    config.write_text(text)
    command = [*agent_command(attached=True), "--vta", str(config)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        address = parse_address(process.stdout.readline().removeprefix(READY_LINE))
        with WorkerSession.connect(*address) as session:
            assert session.facts["config"] == "mine"
        process.stdin.close()
        assert process.wait(timeout=WAIT_S) == 0


def test_libraries_that_are_missing(tmp_path: Path) -> None:
    """Told at the start, with the folders that were looked in."""
    program = tmp_path / "agent"
    program.write_bytes(Path(agent_command()[0]).read_bytes())
    program.chmod(0o755)
    done = subprocess.run([program], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "libtvm_ffi.so is missing (looked in" in done.stderr
    assert str(tmp_path) in done.stderr


def test_uploads_of_a_session_are_gone_with_it(tmp_path: Path) -> None:
    command = agent_command()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        address = parse_address(process.stdout.readline().removeprefix(READY_LINE))
        with WorkerSession.connect(*address) as session:
            session._open().upload(bytearray(b"x"), target="folder/file")
            assert [path.name for path in tmp_path.rglob("file")] == ["file"]
            os.kill(session.facts["pid"], signal.SIGKILL)
        with WorkerSession.connect(*address):
            assert not list(tmp_path.rglob("file"))
        process.terminate()


def test_what_a_killed_agent_left_goes_with_the_next(tmp_path: Path) -> None:
    """But for folders that were made this minute, and what is not an agent's."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    old, young, foreign = (tmp_path / name for name in ("lcp-agent-old", "lcp-agent-new", "else"))
    for folder in (old, young, foreign):
        (folder / "files").mkdir(parents=True)
    for folder in (old, foreign):
        os.utime(folder, (0, 0))
    command = agent_command()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (own,) = set(tmp_path.iterdir()) - {young, foreign}
        os.utime(own, (0, 0))
        again = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        with again:
            assert again.stdout is not None
            again.stdout.readline()
            assert own.is_dir()
            again.terminate()
        process.terminate()
    assert set(tmp_path.iterdir()) == {young, foreign}


def test_sessions_end_when_their_clients_do_not_say_goodbye(agent: Address) -> None:
    """Reset instead of closed; threads that connect at the same time get a session or are told."""
    codes: list[int | None] = []

    def connect() -> None:
        with socket.create_connection(agent) as connection:
            connection.sendall(greeting())
            codes.append(answer(connection))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {MAGIC, BUSY}
    assert MAGIC in codes
    with WorkerSession.connect(*agent) as session:
        assert session.facts["pid"]

"""Sessions with a real worker process: normal runs, and every way a worker can fail."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tvm
from tvm.rpc.tracker import Tracker as TvmTracker

from lcp_tvm.errors import WorkerError
from lcp_tvm.rpc.session import WorkerSession, local_worker, parse_address
from lcp_tvm.rpc.worker import READY_LINE, agent_command
from tests.rpc.proxied import Proxy

Address = tuple[str, int]


@pytest.fixture(scope="module")
def worker() -> Iterator[Address]:
    with local_worker("pynq_z1") as address:
        yield address


def eventually(condition: Callable[[], bool], timeout: float = 20.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_closed(connection: socket.socket) -> bool:
    """Whether the peer closes the connection without sending anything."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def hello(session: WorkerSession, timeout: float = 60.0) -> dict[str, Any]:
    """What the session's node says of itself."""
    facts: dict[str, Any] = json.loads(str(session.call_node("hello", (), timeout=timeout)))
    return facts


def test_the_node_of_a_session(worker: Address) -> None:
    """One process, which is the board of the worker's config."""
    with WorkerSession.connect(*worker) as session:
        facts = hello(session)
        assert facts["config"] == session.facts["config"] == "pynq_z1"
        assert facts["pid"] == session.facts["pid"]


def test_what_a_node_refuses_is_told(worker: Address) -> None:
    with (
        WorkerSession.connect(*worker) as session,
        pytest.raises(WorkerError, match=r"worker .*: program is not JSON"),
    ):
        session.call_node("prepare", ("no program",))


def test_the_next_session_finds_the_worker_free(worker: Address) -> None:
    for _ in range(3):
        with WorkerSession.connect(*worker) as session:
            assert session.facts["version"]


def test_a_second_client_is_told_that_the_worker_is_busy(worker: Address) -> None:
    with (
        WorkerSession.connect(*worker),
        pytest.raises(WorkerError, match="busy with another session"),
    ):
        WorkerSession.connect(*worker)


def test_a_killed_session_is_an_error_and_the_port_takes_the_next(worker: Address) -> None:
    """run -> SIGKILL -> error on the client; connect on the same port -> run."""
    with WorkerSession.connect(*worker) as session:
        os.kill(session.facts["pid"], signal.SIGKILL)
        with pytest.raises(WorkerError, match="the session ended"):
            hello(session)
        with pytest.raises(WorkerError, match="the session is closed"):
            hello(session)
    with WorkerSession.connect(*worker) as session:
        assert hello(session)["pid"] == session.facts["pid"]


def test_a_frozen_session_hits_the_deadline() -> None:
    """run -> SIGSTOP -> error after the deadline; the process goes with its client."""
    with local_worker("pynq_z1") as address:
        session = WorkerSession.connect(*address)
        frozen = psutil.Process(session.facts["pid"])
        frozen.suspend()
        with pytest.raises(WorkerError, match="no answer within 1 s"):
            hello(session, timeout=1.0)
        session.close()
    assert eventually(lambda: not frozen.is_running())


def test_after_a_frozen_session_the_same_worker_takes_the_next(worker: Address) -> None:
    """SIGSTOP -> deadline -> the worker ends the frozen process -> run in a new session."""
    with WorkerSession.connect(*worker) as session:
        frozen = psutil.Process(session.facts["pid"])
        frozen.suspend()
        with pytest.raises(WorkerError, match="no answer within 1 s"):
            hello(session, timeout=1.0)
    with WorkerSession.connect(*worker) as session:
        assert hello(session)["pid"] == session.facts["pid"]
    assert not frozen.is_running()


@pytest.mark.usefixtures("heeded_ctrl_c")
def test_ctrl_c_ends_a_call_and_its_session(worker: Address) -> None:
    """A call under way -> SIGINT -> KeyboardInterrupt here, and the worker is free again."""

    def call_under_way() -> bool:
        return any(thread.name.startswith("rpc ") for thread in threading.enumerate())

    def interrupt() -> None:
        if eventually(call_under_way):
            os.kill(os.getpid(), signal.SIGINT)

    with WorkerSession.connect(*worker) as session:
        psutil.Process(session.facts["pid"]).suspend()
        assert eventually(lambda: not call_under_way())
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            hello(session)
        interrupter.join()
        with pytest.raises(WorkerError, match="the session is closed"):
            hello(session)
    with WorkerSession.connect(*worker) as session:
        assert session.facts["pid"]


def test_a_worker_of_another_version_is_refused(
    worker: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, and the worker is left free."""
    monkeypatch.setattr("lcp_tvm.rpc.session._native_version", lambda: "9.9.9")
    for _ in range(2):
        with pytest.raises(WorkerError, match=r"runs version .*, this is 9\.9\.9"):
            WorkerSession.connect(*worker)


def test_an_unknown_config_is_told_at_the_start() -> None:
    with pytest.raises(WorkerError, match="no VTA config 'pynq_z9'"), local_worker("pynq_z9"):
        pass


def test_an_unknown_host() -> None:
    with pytest.raises(WorkerError, match="no such host"):
        WorkerSession.connect("no-such-host.invalid", 9090)


def test_nothing_listens() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else is given the port meanwhile
        with pytest.raises(WorkerError, match="nothing listens there; start it with"):
            WorkerSession.connect(*deaf.getsockname())


def test_a_peer_that_never_answers_hits_the_deadline() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(WorkerError, match="no answer within 1 s"),
    ):
        WorkerSession.connect(*listener.getsockname(), timeout=1.0)


def test_a_client_that_speaks_something_else_does_no_harm(worker: Address) -> None:
    with socket.create_connection(worker) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(connection)
    with WorkerSession.connect(*worker) as session:
        assert session.facts["pid"]


def test_an_upload_cannot_leave_the_sessions_folder(worker: Address) -> None:
    remote = tvm.rpc.connect(*worker)
    with pytest.raises(Exception, match="leaves the session's folder"):
        remote.upload(bytearray(b"x"), target="../escaped")


def test_a_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM: the worker, the process of its session, and what was uploaded go."""
    process = subprocess.Popen(
        agent_command(),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    with WorkerSession.connect(*parse_address(line.removeprefix(READY_LINE))) as session:
        child = psutil.Process(session.facts["pid"])
        assert child.parent().pid == process.pid
        assert list(tmp_path.iterdir())
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert not child.is_running()
    process.stdout.close()
    assert not list(tmp_path.iterdir())


def test_a_call_of_the_node_is_one_question_and_one_answer() -> None:
    """Whatever else were said would wait for a worker that is frozen by then, and all else too."""
    with (
        local_worker() as (_, port),
        Proxy(port) as proxy,
        WorkerSession.connect("127.0.0.1", proxy.port) as session,
    ):
        session.call_node("hello", ())
        before = proxy.turns
        for _ in range(3):
            session.call_node("hello", ())
        assert proxy.turns - before == 2 * 3


def test_a_killed_worker_takes_its_session_process_along() -> None:
    with local_worker() as address, WorkerSession.connect(*address) as session:
        board = psutil.Process(session.facts["pid"])
        board.parent().kill()
        assert eventually(lambda: not board.is_running())


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_a_local_worker_ends_with_the_process_that_started_it(frozen: bool) -> None:
    """SIGKILL of the parent -> its pipe closes -> worker and session process end, frozen or not."""
    program = (
        "from lcp_tvm.rpc.session import WorkerSession, local_worker\n"
        "with local_worker() as address, WorkerSession.connect(*address): print(1); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        parent.stdout.read(1)
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 2
        for child in children if frozen else ():
            child.suspend()
        parent.kill()
        parent.wait()
    assert eventually(lambda: not any(child.is_running() for child in children))


def test_a_tracker_hands_out_the_worker() -> None:
    """Registered, requested by key, and offered again after the session."""
    tracker = TvmTracker("127.0.0.1", port=29190, port_end=29390, silent=True)
    command = agent_command(config="pynq_z1", tracker=("127.0.0.1", tracker.port))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(2):
            remote = tvm.rpc.connect_tracker("127.0.0.1", tracker.port).request(
                "lcp-pynq_z1", session_timeout=60
            )
            assert "pynq_z1" in str(remote.get_function("lcp_tvm.rpc.hello")())
            del remote
    finally:
        process.terminate()
        process.wait(timeout=10)
        assert process.stdout is not None
        process.stdout.close()
        tracker.terminate()

"""A supervised TVM RPC server: one session at a time, each in a process of its own.

The worker owns the port and never serves. It keeps one process ready (`board`), hands it the next
connection, and starts another when that one ends, however it ends. So a crashed session never
leaves a port that hangs, a second client is told at once that the worker is busy, and a session
whose client has gone is ended even when its process is frozen.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lcp_tvm.errors import InputError, LcpError, WorkerError
from lcp_tvm.rpc.address import Address, parse_address
from lcp_tvm.rpc.wire import Reply, Tracker, read_client_key, refuse, welcome
from lcp_tvm.vta.config import load_config

READY_LINE = "lcp-tvm worker listening on"
"""Printed with ``HOST:PORT`` once the port listens."""

HANDSHAKE_TIMEOUT_S = 5.0
START_TIMEOUT_S = 120.0
LEAVE_GRACE_S = 2.0
"""How long a session may go on after its client has gone."""

KEEPALIVE_S = 10
"""A silent peer is asked so often whether it is there; three questions without answer end it."""

MAX_FAILURES, FAILURE_WINDOW_S = 5, 60.0
TICK_S = 0.5
TRACKER_PERIOD_S = 2.0
UNCLAIMED_S = 6.0
"""A match key that a client was given and has not used for so long is replaced."""


@dataclass(slots=True)
class Board:
    """A process that waits for a session, or serves one."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    ready: bool = False
    client: socket.socket | None = None

    @property
    def serving(self) -> bool:
        return self.client is not None

    def hand_over(self, connection: socket.socket) -> None:
        """Give an accepted client to the process; our copy only watches for its end."""
        socket.send_fds(self.channel, [b"C"], [connection.fileno()])
        self.client = connection

    def client_has_left(self) -> bool:
        """Whether a session is served whose client has closed its end."""
        if self.client is None:
            return False
        hang_up = select.poll()
        hang_up.register(self.client, select.POLLRDHUP)
        return bool(hang_up.poll(0))

    def end(self) -> None:
        """Let a session whose client has left tidy up, then kill it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=LEAVE_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the process and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.channel.close()
        if self.client is not None:
            self.client.close()


@dataclass(slots=True)
class Offer:
    """This worker at a tracker: the key that the next client gets."""

    tracker: Tracker
    match_key: str
    taken_at: float | None = None


@dataclass(slots=True)
class Worker:
    """The life of a worker: `run` returns when `stop` was called."""

    listener: socket.socket
    config: str
    tracker: Address | None = None
    lifeline: int | None = None
    board: Board | None = None
    offer: Offer | None = None
    next_tracker: float = 0.0
    failures: deque[float] = field(default_factory=deque)
    stopping: bool = False

    def run(self) -> None:
        """Serve sessions one after the other.

        Raises
        ------
        WorkerError
            Session processes cannot be started.
        """
        self.listener.setblocking(False)
        try:
            while not self.stopping:
                self._watch_board()
                self._watch_tracker()
                self._wait()
        finally:
            if self.board is not None:
                self.board.kill()
            if self.offer is not None:
                self.offer.tracker.close()
            self.listener.close()

    def stop(self) -> None:
        self.stopping = True

    @property
    def key(self) -> str:
        """The name under which a tracker lists this kind of board."""
        return f"lcp-{os.path.basename(self.config).removesuffix('.json')}"

    def _wait(self) -> None:
        waiting = select.poll()
        waiting.register(self.listener, select.POLLIN)
        if self.board is not None:
            waiting.register(self.board.channel, 0)  # hangs up when the process ends
            if self.board.client is not None:
                waiting.register(self.board.client, select.POLLRDHUP)
        if self.lifeline is not None:
            waiting.register(self.lifeline, 0)
        events = dict(waiting.poll(TICK_S * 1000))
        if self.lifeline in events:
            self.stop()
        if self.listener.fileno() in events:
            with contextlib.suppress(BlockingIOError):
                connection, _ = self.listener.accept()
                self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        """Hand a client over, or turn it away."""
        try:
            connection.settimeout(HANDSHAKE_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _notice_lost_peers(connection)
            key = read_client_key(connection)
            self._watch_board()
            if self.board is None or self.board.serving:
                refuse(connection, Reply.BUSY)
            elif key not in ("", self.offer.match_key if self.offer is not None else ""):
                refuse(connection, Reply.WRONG_KEY)
            else:
                self._await_ready(self.board)
                welcome(connection, self.key)
                connection.settimeout(None)
                self.board.hand_over(connection)
                return
        except (OSError, WorkerError) as error:
            print(f"lcp-tvm worker: a client was turned away: {error}", file=sys.stderr)
        connection.close()

    def _watch_board(self) -> None:
        """Keep one process ready; end a session that outlives its client."""
        board = self.board
        if board is not None and board.process.poll() is not None:
            if not board.serving:
                self._count_failure()
            board.kill()
            self.board = board = None
        if board is not None and board.client_has_left():
            board.end()
            self.board = board = None
        if board is None:
            self.board = _start_board(self.config)

    def _await_ready(self, board: Board) -> None:
        if board.ready:
            return
        board.channel.settimeout(START_TIMEOUT_S)
        if not board.channel.recv(1):
            raise WorkerError("the session's process ended while it started")
        board.ready = True

    def _count_failure(self) -> None:
        now = time.monotonic()
        self.failures.append(now)
        while now - self.failures[0] > FAILURE_WINDOW_S:
            self.failures.popleft()
        if len(self.failures) >= MAX_FAILURES:
            raise WorkerError(
                f"worker: its session process ended {MAX_FAILURES} times within "
                f"{FAILURE_WINDOW_S:.0f} s before serving anyone; its messages are above"
            )
        time.sleep(0.1 * 2 ** len(self.failures))

    def _watch_tracker(self) -> None:
        """Offer a fresh key whenever the last one is used up; come back when the tracker does."""
        now = time.monotonic()
        if self.tracker is None or now < self.next_tracker:
            return
        self.next_tracker = now + TRACKER_PERIOD_S
        try:
            if self.offer is None:
                port = self.listener.getsockname()[1]
                tracker = Tracker(self.tracker, self.key, port, HANDSHAKE_TIMEOUT_S)
                self.offer = Offer(tracker, "")
                self._renew(self.offer)
            elif self.offer.tracker.is_pending(self.offer.match_key):
                self.offer.taken_at = None
            elif self.offer.taken_at is None:
                self.offer.taken_at = now
            elif now - self.offer.taken_at > UNCLAIMED_S and not self._busy():
                self._renew(self.offer)
        except OSError as error:
            host, port = self.tracker
            print(f"lcp-tvm worker: tracker {host}:{port}: {error}; trying on", file=sys.stderr)
            if self.offer is not None:
                self.offer.tracker.close()
            self.offer = None

    def _busy(self) -> bool:
        return self.board is not None and self.board.serving

    def _renew(self, offer: Offer) -> None:
        offer.match_key = f"{self.key}:{secrets.token_hex(8)}"
        offer.tracker.offer(offer.match_key)
        offer.taken_at = None


def _notice_lost_peers(connection: socket.socket) -> None:
    """Have the system end a connection whose peer lost its power or its cable."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _start_board(config: str) -> Board:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "lcp_tvm.rpc.board", str(theirs.fileno()), config],
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
    return Board(process, ours)


@contextlib.contextmanager
def _signals(worker: Worker) -> Iterator[None]:
    """SIGTERM and SIGINT end the worker cleanly."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: worker.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tracker: Address | None = None,
    config: str = "-",
    lifeline: int | None = None,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Parameters
    ----------
    port : 0 for one that the system assigns.
    tracker : address of a TVM RPC tracker to register with.
    config : name or path of the VTA config this board has; ``-`` takes programs of any.
    lifeline : descriptor of a pipe; the worker ends when nobody holds its other end any more.
    on_ready : called with host and port once the port listens.

    Raises
    ------
    InputError
        The address cannot be bound.
    WorkerError
        Session processes cannot be started.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"worker: cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another --host or --port (0: a free one)"
        ) from error
    worker = Worker(listener, config, tracker, lifeline)
    with _signals(worker):
        if on_ready is not None:
            on_ready(host, listener.getsockname()[1])
        worker.run()


def print_ready(host: str, port: int) -> None:
    """Print the line that says where a worker listens."""
    print(f"{READY_LINE} {host}:{port}", flush=True)


def main() -> None:
    """``python -m lcp_tvm.rpc.worker``: a worker without the command line's imports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tracker", type=parse_address)
    parser.add_argument("--vta", default="-")
    parser.add_argument(
        "--attached", action="store_true", help="end when standard input, a pipe, is closed"
    )
    options = parser.parse_args()
    try:
        if options.vta != "-":
            load_config(options.vta)  # a wrong one is told here, not by every session's process
        serve(
            options.host,
            options.port,
            tracker=options.tracker,
            config=options.vta,
            lifeline=sys.stdin.fileno() if options.attached else None,
            on_ready=print_ready,
        )
    except LcpError as error:
        sys.exit(f"lcp-tvm worker: {error}")


if __name__ == "__main__":
    main()

"""The page of a live camera: HTTP, and a websocket that sends what there is to see."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from lcp_tvm.camera.access import PARAMETER, Access
from lcp_tvm.camera.api import COMMANDS, Command, Problem, Reply, describe, obey, to_json
from lcp_tvm.camera.controls import Controls
from lcp_tvm.camera.hub import Hub, Watcher, caption_of
from lcp_tvm.camera.metrics import render_metrics
from lcp_tvm.errors import InputError

STATIC = Path(__file__).parent / "static"
STATE_EVERY_S = 0.25

MAX_WATCHERS = 100
MAX_CONNECTIONS = 200
MAX_REQUEST_BYTES = 16 * 1024
SEND_BUFFER_BYTES = 256 * 1024
"""What the system holds of pictures for a slow reader: some frames, so that it sees new ones."""
IDLE_S = 30
"""After which a connection that says nothing is closed, and a page that takes nothing."""

POLICY_VIOLATION = 1008
GOING_AWAY = 1001

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Camera:
    """What handlers show and act on."""

    hub: Hub
    controls: Controls
    access: Access

    def tell_state(self) -> None:
        if self.hub.watching:
            self.hub.tell(to_json(self.controls.state()))


class _Guarded(RequestHandler):
    """Lets in who may, and puts the same headers on everything."""

    def initialize(self, camera: _Camera) -> None:
        self.camera = camera

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        refusal = self.camera.access.refusal(self.request)
        if refusal:
            self.reply(Reply(refusal.status, Problem(refusal.reason)))

    def reply(self, reply: Reply) -> None:
        self.set_status(reply.status)
        self.finish_json(to_json(reply.body))

    def finish_json(self, text: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.reply(Reply(status_code, Problem(HTTPStatus(status_code).phrase)))


class _Files(_Guarded, StaticFileHandler):
    def initialize(self, camera: _Camera, path: str, default_filename: str) -> None:  # type: ignore[override]
        _Guarded.initialize(self, camera)
        StaticFileHandler.initialize(self, path, default_filename)

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", HEADERS["Cache-Control"])
        access = self.camera.access
        if access.token and self.get_query_argument(PARAMETER, ""):
            self.set_cookie(access.cookie, access.token, httponly=True, samesite="Strict")


class _State(_Guarded):
    def get(self) -> None:
        self.finish_json(to_json(self.camera.controls.state()))


class _Result(_Guarded):
    def get(self) -> None:
        newest = self.camera.hub.newest
        if newest is None:
            self.reply(NO_FRAME)
        else:
            self.finish_json(to_json(caption_of(newest)))


class _Frame(_Guarded):
    async def get(self) -> None:
        newest = self.camera.hub.newest
        if newest is None:
            self.reply(NO_FRAME)
        else:
            self.set_header("Content-Type", "image/jpeg")
            self.finish(await self.camera.hub.jpeg(newest))


class _Command(_Guarded):
    def initialize(self, camera: _Camera, command: Command) -> None:  # type: ignore[override]
        super().initialize(camera)
        self.command = command

    async def post(self) -> None:
        kind = self.request.headers.get("Content-Type", "")
        self.reply(await obey(self.camera.controls, self.command, kind, self.request.body))
        self.camera.tell_state()


class _Description(_Guarded):
    def get(self) -> None:
        self.finish_json(json.dumps(describe(version("lcp-tvm"))))


class _Metrics(_Guarded):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(render_metrics(self.camera.controls.state(), self.camera.hub.watching))


class _Missing(_Guarded):
    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self.reply(Reply(404, Problem("nothing is here; see /api/openapi.json")))


class _Watch(_Guarded, WebSocketHandler):
    """Sends frames and states; a page has nothing to say here."""

    def prepare(self) -> None:
        super().prepare()
        if not self._finished and self.camera.hub.watching >= MAX_WATCHERS:
            self.reply(Reply(503, Problem("too many pages are open; close one")))

    def check_origin(self, origin: str) -> bool:
        return True  # access has judged it

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self._watcher = self.camera.hub.join()
        self._sending = asyncio.create_task(self._send(self._watcher))
        self.camera.tell_state()

    def on_message(self, message: str | bytes) -> None:
        self.close(POLICY_VIOLATION, "this connection is for listening; see /api/openapi.json")

    def on_close(self) -> None:
        self.camera.hub.leave(self._watcher)
        self._sending.cancel()

    async def _send(self, watcher: Watcher) -> None:
        with suppress(WebSocketClosedError):
            async for message in watcher.messages():
                await self.write_message(message, binary=isinstance(message, bytes))
        self.close(GOING_AWAY, "the camera has ended")


class _Server(HTTPServer):
    """An HTTP server with a bound on its connections."""

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)


NO_FRAME = Reply(404, Problem("no frame has been answered yet; try again"))


@asynccontextmanager
async def serving(hub: Hub, controls: Controls, host: str, port: int) -> AsyncIterator[str]:
    """Serve the page for the length of an ``async with`` statement; yields its link.

    Parameters
    ----------
    host : an address other than a loopback one is for those who have the link: it has a token.
    port : 0 for one that the system assigns.

    Raises
    ------
    InputError
        The address cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        raise InputError(
            f"camera: cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another --listen or --port (0: a free one)"
        ) from error
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    access = Access.to(host, listener.getsockname()[1])
    camera = _Camera(hub, controls, access)
    server = _Server(
        _application(camera),
        idle_connection_timeout=IDLE_S,
        body_timeout=IDLE_S,
        max_header_size=MAX_REQUEST_BYTES,
        max_body_size=MAX_REQUEST_BYTES,
        max_buffer_size=4 * MAX_REQUEST_BYTES,
    )
    server.add_socket(listener)
    states = asyncio.create_task(_tell_states(camera))
    try:
        yield access.link
    finally:
        server.stop()
        states.cancel()
        hub.close()
        await server.close_all_connections()
        with suppress(asyncio.CancelledError):
            await states


async def _tell_states(camera: _Camera) -> None:
    while True:
        camera.tell_state()
        await asyncio.sleep(STATE_EVERY_S)


def _application(camera: _Camera) -> Application:
    shared: dict[str, Any] = {"camera": camera}
    files = shared | {"path": str(STATIC), "default_filename": "index.html"}
    return Application(
        [
            ("/api/state", _State, shared),
            ("/api/result", _Result, shared),
            ("/api/frame.jpg", _Frame, shared),
            ("/api/openapi.json", _Description, shared),
            *((c.path, _Command, shared | {"command": c}) for c in COMMANDS),
            ("/metrics", _Metrics, shared),
            ("/watch", _Watch, shared),
            (r"/([a-z_.]*)", _Files, files),
        ],
        default_handler_class=_Missing,
        default_handler_args=shared,
        log_function=lambda handler: None,
        websocket_max_message_size=MAX_REQUEST_BYTES,
        websocket_ping_interval=IDLE_S,
        websocket_ping_timeout=IDLE_S,
    )

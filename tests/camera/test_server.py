"""The page's server: who is let in, what is sent to whom, and what hostile clients can do."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from lcp_tvm.camera import server
from lcp_tvm.camera.access import Access
from lcp_tvm.camera.api import COMMANDS
from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.hub import Hub, encode_jpeg
from lcp_tvm.camera.server import serving
from lcp_tvm.errors import InputError
from tests.camera.fake_camera import STATE, FakeControls, a_result

# Clients of tests end with their event loop, some before they have closed their sockets.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TIMEOUT_S = 20.0
HERE = "127.0.0.1"
MANY = 30


@pytest.fixture(autouse=True)
def _clients_end_here() -> Iterator[None]:
    """Have what a test leaves be collected with it, and not with another test."""
    yield
    gc.collect()


@dataclass(slots=True, eq=False)
class Site:
    """A page that is served, and what it shows.

    Attributes
    ----------
    encoded : numbers of the frames that were made JPEGs.
    """

    link: str
    hub: Hub
    controls: FakeControls
    encoded: list[int]
    pages: list[WebSocketClientConnection]

    @property
    def address(self) -> str:
        return self.link.partition("?")[0]

    async def fetch(self, path: str, **options: Any) -> HTTPResponse:
        request = HTTPRequest(self.address + path, request_timeout=TIMEOUT_S, **options)
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    async def post(self, path: str, body: bytes, **headers: str) -> HTTPResponse:
        sent = {"Content-Type": "application/json"} | headers
        return await self.fetch(path, method="POST", body=body, headers=sent)

    async def watch(self, **headers: str) -> WebSocketClientConnection:
        address = self.address.replace("http", "ws") + "watch"
        page = await websocket_connect(HTTPRequest(address, headers=headers))
        self.pages.append(page)
        return page

    def leave(self) -> None:
        """Close all pages."""
        for page in self.pages:
            page.close()


@asynccontextmanager
async def site(host: str = HERE) -> AsyncIterator[Site]:
    encoded: list[int] = []

    def encode(frame: Frame) -> bytes:
        encoded.append(frame.number)
        return encode_jpeg(frame)

    hub, controls = Hub(encode), FakeControls()
    async with serving(hub, controls, host, 0) as link:
        if host != HERE:
            link = link.replace(urlsplit(link).hostname or "", HERE)
        here = Site(link, hub, controls, encoded, [])
        yield here
        here.leave()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 2 * TIMEOUT_S))


def check_fits(described: Any, operation: Any, reply: HTTPResponse) -> int:
    """Check a reply against an OpenAPI description; return its status."""
    ((kind, content),) = operation["responses"][str(reply.code)]["content"].items()
    assert reply.headers["Content-Type"] == kind
    if kind == "application/json":
        schema = content["schema"] | {"components": described["components"]}
        Draft202012Validator(schema).validate(json.loads(reply.body))
    return reply.code


async def next_frame(page: WebSocketClientConnection) -> tuple[dict[str, Any], bytes]:
    """Wait for a frame; states may come before it."""
    while True:
        message = await asyncio.wait_for(page.read_message(), TIMEOUT_S)
        assert message is not None
        if isinstance(message, bytes):
            (length,) = struct.unpack_from(">I", message)
            return json.loads(message[4 : 4 + length]), message[4 + length :]


async def next_state(page: WebSocketClientConnection) -> dict[str, Any]:
    while True:
        message = await asyncio.wait_for(page.read_message(), TIMEOUT_S)
        assert message is not None
        if isinstance(message, str):
            state: dict[str, Any] = json.loads(message)
            return state


def test_a_page_is_sent_frames_with_their_answers_and_the_state() -> None:
    async def main() -> None:
        async with site() as here:
            page = await here.watch()
            assert (await next_state(page))["splits"] == list(STATE.splits)
            here.hub.publish(a_result(7))
            caption, jpeg = await next_frame(page)
            assert caption["number"] == 7
            assert caption["guesses"][0]["label"] == "ankle boot"
            assert caption["latency_ms"] == pytest.approx(21.4)
            assert jpeg.startswith(b"\xff\xd8\xff")

    run(main)


def test_a_frame_is_encoded_once_for_all_who_watch_and_never_for_nobody() -> None:
    async def main() -> None:
        async with site() as here:
            here.hub.publish(a_result(1))
            await asyncio.sleep(0)
            assert here.encoded == []
            pages = [await here.watch() for _ in range(8)]
            for page in pages:
                assert (await next_frame(page))[0]["number"] == 1
            here.hub.publish(a_result(2))
            for page in pages:
                while (await next_frame(page))[0]["number"] != 2:
                    pass
            assert here.encoded == [1, 2]

    run(main)


def test_who_reads_slowly_gets_the_newest_and_holds_up_nobody() -> None:
    """A page that reads nothing while many frames go by is then sent few of them."""
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)

    async def main() -> None:
        async with site() as here:
            parts = urlsplit(here.address)
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            slow.connect((HERE, parts.port))
            slow.sendall(
                f"GET /watch HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            quick = await here.watch()
            while here.hub.watching < 2:
                await asyncio.sleep(0.005)
            for number in range(MANY):
                here.hub.publish(a_result(frame=Frame(number, 0.0, noise)))
                assert (await next_frame(quick))[0]["number"] == number
            sent = 0
            slow.settimeout(0.5)
            try:
                while part := slow.recv(1 << 20):
                    sent += len(part)
            except TimeoutError:
                pass
            assert sent < MANY / 2 * len(encode_jpeg(Frame(0, 0.0, noise)))
            slow.close()
            here.leave()
            while here.hub.watching:
                await asyncio.sleep(0.005)

    run(main)


def test_a_huge_message_ends_its_connection_and_no_other() -> None:
    async def main() -> None:
        async with site() as here:
            good, bad = await here.watch(), await here.watch()
            await bad.write_message(b"x" * (server.MAX_REQUEST_BYTES + 1), binary=True)
            while await asyncio.wait_for(bad.read_message(), TIMEOUT_S) is not None:
                pass
            here.hub.publish(a_result(3))
            assert (await next_frame(good))[0]["number"] == 3
            reply = await here.post("api/pause", b"x" * (2 * server.MAX_REQUEST_BYTES))
            assert reply.code in (400, 413, 599)
            assert here.controls.asked == []

    run(main)


def test_a_page_has_nothing_to_say_on_the_websocket() -> None:
    async def main() -> None:
        async with site() as here:
            page = await here.watch()
            await page.write_message("hello")
            while await asyncio.wait_for(page.read_message(), TIMEOUT_S) is not None:
                pass
            assert page.close_code == server.POLICY_VIOLATION

    run(main)


def test_only_so_many_may_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_WATCHERS", 2)

    async def main() -> None:
        async with site() as here:
            for _ in range(2):
                await here.watch()
            with pytest.raises(HTTPClientError, match="503"):
                await here.watch()

    run(main)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_others_are_kept_out(origin: str) -> None:
    async def main() -> None:
        async with site() as here:
            with pytest.raises(HTTPClientError, match="403"):
                await here.watch(Origin=origin)
            reply = await here.post("api/pause", b'{"paused": true}', Origin=origin)
            assert reply.code == 403
            assert here.controls.asked == []
            own = here.address.rstrip("/")
            assert (await here.post("api/pause", b'{"paused": true}', Origin=own)).code == 200
            assert here.controls.asked == [("pause", True)]

    run(main)


def test_a_foreign_name_that_leads_here_is_refused() -> None:
    """DNS rebinding: a page of evil.example whose name suddenly means this machine."""

    async def main() -> None:
        async with site() as here:
            for path in ("", "api/state", "metrics"):
                reply = await here.fetch(path, headers={"Host": "evil.example"})
                assert reply.code == 403

    run(main)


def test_on_another_address_a_token_is_needed() -> None:
    """In the link, then in a cookie that no other site's page sends; or as a bearer."""

    async def main() -> None:
        async with site("0.0.0.0") as here:
            (token,) = parse_qs(urlsplit(here.link).query)["token"]
            assert len(token) >= 32
            for path in ("", "api/state", "api/frame.jpg", "metrics", "app.js"):
                assert (await here.fetch(path)).code == 401
                assert (await here.fetch(f"{path}?token={token[:-1]}x")).code == 401
            with pytest.raises(HTTPClientError, match="401"):
                await here.watch()
            first = await here.fetch(f"?token={token}")
            assert first.code == 200
            cookie = first.headers["Set-Cookie"]
            assert "SameSite=Strict" in cookie
            assert "HttpOnly" in cookie
            brought = {"Cookie": cookie.partition(";")[0]}
            assert (await here.fetch("api/state", headers=brought)).code == 200
            await here.watch(**brought)
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await here.fetch("api/state", headers=bearer)).code == 200

    run(main)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("lcp_tvm.camera.access.hmac.compare_digest", compare)

    async def main() -> None:
        async with site("0.0.0.0") as here:
            assert (await here.fetch("api/state?token=guess")).code == 401

    run(main)
    assert [one for one, _ in compared] == [b"guess"]


@pytest.mark.parametrize(
    ("host", "needs_token"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("10.0.0.1", True),
    ],
)
def test_which_addresses_need_a_token(host: str, needs_token: bool) -> None:
    assert bool(Access.to(host, 1).token) is needs_token
    assert Access.to("0.0.0.0", 1).token != Access.to("0.0.0.0", 1).token


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"split": 3}',
        b'{"split": "lcp:2", "more": 1}',
        b"\xff\xfe",
        b"[" * 9000,
    ],
)
def test_what_is_no_command_changes_nothing(body: bytes) -> None:
    async def main() -> None:
        async with site() as here:
            reply = await here.post("api/split", body)
            assert reply.code == 400
            assert "\n" not in json.loads(reply.body)["error"]
            assert here.controls.asked == []

    run(main)


def test_commands_are_carried_out_and_answered_with_the_state() -> None:
    async def main() -> None:
        async with site() as here:
            reply = await here.post("api/board", b'{"board": "edge-1", "left_out": true}')
            assert reply.code == 200
            assert json.loads(reply.body)["boards"][1]["state"] == "left out"
            refused = await here.post("api/split", b'{"split": "of mine"}')
            assert (refused.code, "none of" in json.loads(refused.body)["error"]) == (409, True)
            form = await here.fetch("api/pause", method="POST", body=b"paused=true")
            assert form.code == 415
            assert here.controls.asked == [("leave_out", "edge-1")]

    run(main)


def test_the_description_names_all_that_is_there_and_replies_fit_it() -> None:
    async def main() -> None:
        async with site() as here:
            described = json.loads((await here.fetch("api/openapi.json")).body)
            reads = {path: one["get"] for path, one in described["paths"].items() if "get" in one}
            assert set(reads) == {"/api/state", "/api/result", "/api/frame.jpg"}
            assert {command.path for command in COMMANDS} == set(described["paths"]) - set(reads)
            before = [check_fits(described, r, await here.fetch(p[1:])) for p, r in reads.items()]
            here.hub.publish(a_result(1))
            after = [check_fits(described, r, await here.fetch(p[1:])) for p, r in reads.items()]
            assert (before, after) == ([200, 404, 404], [200, 200, 200])

    run(main)


@settings(max_examples=40)
@given(
    st.sampled_from([command.path[1:] for command in COMMANDS]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["split", "source", "paused", "board", "left_out", "x"]), inner
            )
        ),
        max_leaves=6,
    ),
)
def test_whatever_is_asked_is_answered_as_described(path: str, body: Any) -> None:
    async def main() -> None:
        async with site() as here:
            described = json.loads((await here.fetch("api/openapi.json")).body)
            reply = await here.post(path, json.dumps(body).encode())
            check_fits(described, described["paths"][f"/{path}"]["post"], reply)

    run(main)


def test_metrics() -> None:
    async def main() -> None:
        async with site() as here:
            text = (await here.fetch("metrics")).body.decode()
            assert 'lcp_tvm_camera_frames_total{outcome="dropped"} 3.0' in text
            assert 'lcp_tvm_camera_board_state{board="edge-1",state="working"} 1.0' in text

    run(main)


def test_pages_may_run_only_what_is_served_here() -> None:
    async def main() -> None:
        async with site() as here:
            reply = await here.fetch("")
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert (await here.fetch("../server.py")).code in (403, 404)
            assert (await here.fetch("%2e%2e/server.py")).code in (403, 404)

    run(main)


def test_a_port_that_is_taken() -> None:
    async def main() -> None:
        async with site() as here:
            taken = urlsplit(here.address).port
            assert taken is not None
            with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{taken}"):
                async with serving(Hub(), FakeControls(), HERE, taken):
                    pass

    run(main)

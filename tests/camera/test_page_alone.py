"""The page in a browser, before a camera that pretends: what it shows of what it is told.

`test_page.py` has it before real boards.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from lcp_tvm.camera.hub import Hub
from lcp_tvm.camera.server import serving
from tests.camera.fake_camera import FakeControls, a_result

pytest.importorskip("playwright", reason="playwright is not installed")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
TIMEOUT_MS = 60_000
FRAME_S = 0.04
WIDTHS = {375: 812, 1440: 900}

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Camera:
    """A fake camera and its page, in a thread of their own.

    Attributes
    ----------
    detect : whether answers are boxes.
    """

    def __init__(self, controls: FakeControls, host: str = "127.0.0.1", port: int = 0) -> None:
        self.controls = controls
        self.detect = False
        self.link = ""
        self._address = host, port
        self._ready, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Camera:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_MS / 1e3)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def change(self, **values: object) -> None:
        """Change the state that the page is told."""
        self._loop.call_soon_threadsafe(self._change, values)

    def _change(self, values: dict[str, Any]) -> None:
        self.controls.now = replace(self.controls.now, **values)

    async def _run(self) -> None:
        hub, number = Hub(), 0
        self._loop = asyncio.get_running_loop()
        async with serving(hub, self.controls, *self._address) as self.link:
            self._ready.set()
            while not self._end.is_set():
                await asyncio.sleep(FRAME_S)
                if not self.controls.now.paused:
                    number += 1
                    self._change({"answered": number})
                    hub.publish(a_result(number, detect=self.detect))


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera(FakeControls()) as camera:
        yield camera


@contextmanager
def opened(
    browser: Browser, link: str, *, width: int = 1440, scheme: str = "light"
) -> Iterator[Page]:
    """Open the page; whatever it complains of fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(link)
    expect(page.locator("canvas[data-frame]")).to_be_visible()
    yield page
    assert complaints == []
    context.close()


def frame_after(page: Page, number: int) -> int:
    """Wait until a later frame is shown; its number."""
    shown = "() => Number(document.querySelector('canvas').dataset.frame)"
    page.wait_for_function(f"number => ({shown})() > number", arg=number)
    return int(page.evaluate(shown))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_complete_and_open_to_all(
    browser: Browser, camera: Camera, width: int, scheme: str
) -> None:
    """Frames move, all parts are there, nothing sticks out sideways, axe finds nothing."""
    with opened(browser, camera.link, width=width, scheme=scheme) as page:
        assert frame_after(page, frame_after(page, 0)) > 1
        expect(page.locator("#pill")).to_have_text("Live")
        expect(page.locator("#answers li")).to_have_count(3)
        expect(page.locator("#answers li").first).to_contain_text("87 %")
        expect(page.locator("#best")).to_have_attribute("data-right", "true")
        expect(page.locator("#p50")).to_have_text("21.4")
        expect(page.locator(".tile")).to_have_count(3)
        expect(page.locator("[data-board=edge-0]")).to_contain_text("11.2 ms")
        expect(page.locator("#timeline .compute")).to_have_count(3)
        expect(page.locator("#timeline .transfer")).to_have_count(4)
        expect(page.locator("#seen")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"]) for one in found] == []


def test_boxes_lie_where_a_detector_found_something(browser: Browser, camera: Camera) -> None:
    camera.detect = True
    with opened(browser, camera.link) as page:
        expect(page.locator(".box")).to_have_text("face 93 %")
        expect(page.locator("#answers li")).to_contain_text("face")
        expect(page.locator("#seen")).to_be_hidden()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#pill")).to_have_text("Paused")
        picture = page.locator("canvas").bounding_box()
        box = page.locator(".box").bounding_box()
        assert picture is not None
        assert box is not None
        assert (box["y"] - picture["y"]) / picture["height"] == pytest.approx(1 / 3, abs=0.01)
        assert box["width"] / picture["width"] == pytest.approx(100 / 640, abs=0.01)


def test_all_can_be_done_with_the_keyboard(browser: Browser, camera: Camera) -> None:
    with opened(browser, camera.link) as page:
        pressed = {"ftp:2x2": "ftp:2x2", "Leave out edge-1": "Take back edge-1", "Pause": "Resume"}
        for name, then in pressed.items():
            page.get_by_role("button", name=name).focus()
            page.keyboard.press("Enter")
            expect(page.get_by_role("button", name=then)).to_be_focused()
            expect(page.locator("#news")).not_to_be_empty()
        expect(page.get_by_role("button", name="ftp:2x2")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("[data-board=edge-1]")).to_have_attribute("data-state", "left out")
        expect(page.locator("#pill")).to_have_text("Paused")
        page.get_by_label("Source").select_option("camera:0")
        page.wait_for_function("() => document.querySelector('select').value === 'camera:0'")
        while len(camera.controls.asked) < 4:
            page.wait_for_timeout(10)
    wanted = [("switch", "ftp:2x2"), ("leave_out", "edge-1"), ("pause", True)]
    assert camera.controls.asked == [*wanted, ("choose_source", "camera:0")]


def test_what_goes_wrong_is_said(browser: Browser, camera: Camera) -> None:
    with opened(browser, camera.link) as page:
        camera.change(error="edge-1: no power")
        expect(page.get_by_role("alert")).to_have_text("edge-1: no power")
        camera.change(error="", source_lost="camera:0 is gone")
        expect(page.locator("#pill")).to_have_text("No frames")
        expect(page.locator("#veil")).to_have_text("camera:0 is gone")
        expect(page.get_by_role("alert")).to_be_hidden()


def test_labels_are_text_and_nothing_else(browser: Browser, camera: Camera) -> None:
    """A label, a board's name and an error come from files of others."""
    markup = "<img src=x onerror=alert(1)>"
    first, *others = camera.controls.now.boards
    camera.change(error=markup, boards=(replace(first, name=markup), *others))
    with opened(browser, camera.link) as page:
        expect(page.get_by_role("alert")).to_have_text(markup)
        expect(page.locator(".tile h3").first).to_have_text(markup)
        expect(page.locator("img[src=x]")).to_have_count(0)


def test_a_page_comes_back_with_its_camera(browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    with socket.socket() as kept:  # so that nobody else takes the port meanwhile
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        with Camera(FakeControls(), port=port) as camera:
            page.goto(camera.link)
            expect(page.locator("#pill")).to_have_text("Live")
        expect(page.locator("#pill")).to_have_text("Reconnecting")
        with Camera(FakeControls(), port=port):
            expect(page.locator("#pill")).to_have_text("Live")
            frame_after(page, 0)
            context.close()


def test_a_link_with_a_token_is_enough_and_does_not_stay_in_the_address(browser: Browser) -> None:
    with Camera(FakeControls(), "0.0.0.0") as camera:
        link = re.sub("//[^:]+:", "//127.0.0.1:", camera.link)
        with opened(browser, link) as page:
            frame_after(page, 1)
            assert "token" not in page.url
            page.reload()
            expect(page.locator("#pill")).to_have_text("Live")

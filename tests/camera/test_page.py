"""The page in a browser, as people see it: a live camera answered by four boards.

Screenshots are left in ``build/artefacts``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
ARTEFACTS = Path(__file__).parents[2] / "build" / "artefacts"
WAIT_MS = 60_000
SIZES = {375: 812, 1440: 900}

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; apt-get install chromium"),
    pytest.mark.xdist_group("camera page"),  # compiled once, by one worker
    pytest.mark.slow,
]

Open = Callable[[int, str], Page]


@pytest.fixture(scope="module")
def link() -> Iterator[str]:
    """Return where the page of the bundled networks is."""
    command = [sys.executable, "-m", "lcp_tvm.cli", "camera", "--port", "0"]
    command += ["--source", "synthetic:", "--source", "synthetic:?fps=10"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("page: ").strip()
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_(browser: Browser, link: str) -> Iterator[Open]:
    """Return what opens the page at a width and in a scheme; it may write no error."""
    pages: list[Page] = []
    errors: list[str] = []

    def open_page(width: int, scheme: str) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": SIZES[width]},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        page.goto(link)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


def becomes_true(page: Page, condition: str) -> None:
    """Wait for a condition; the page's policy lets nobody hand it a string to run by itself."""
    end = time.monotonic() + WAIT_MS / 1e3
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def frames_go_on(page: Page) -> None:
    """Wait until five more frames have been drawn."""
    frame = "Number(document.querySelector('canvas').dataset.frame ?? -1)"
    now = page.evaluate(frame)
    becomes_true(page, f"{frame} >= {now} + 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(SIZES))
def test_it_shows_a_camera_and_everybody_can_use_it(open_: Open, width: int, scheme: str) -> None:
    """Frames move and are answered rightly; tiles of all boards; axe finds nothing serious."""
    page = open_(width, scheme)
    frames_go_on(page)
    expect(page.locator("#best[data-right=true]")).to_be_visible()
    expect(page.locator("#pill")).to_have_text("Live")
    names = page.locator(".tile h3 span")
    expect(names).to_have_text(["edge-0", "edge-1", "edge-2", "edge-3", "gateway"])
    expect(page.locator(".tile .badge").first).to_have_text("working")
    becomes_true(page, "document.querySelectorAll('#timeline .row').length >= 4")
    becomes_true(page, "parseFloat(document.querySelector('.tile dd').textContent) > 0")
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) <= 0
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"camera_{width}_{scheme}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_most_of_what_it_shows_is_named_rightly(open_: Open) -> None:
    """The source knows what it moves; of its test set, too, the network errs on some."""
    page = open_(1440, "light")
    right = "document.querySelector('#best').dataset.right"
    frames_go_on(page)
    verdicts = []
    for _ in range(20):
        frames_go_on(page)
        verdicts.append(page.evaluate(right))
    assert verdicts.count("true") >= 16, verdicts


def test_a_board_is_left_out_and_taken_back_and_splits_are_switched(open_: Open) -> None:
    page = open_(1440, "light")
    frames_go_on(page)
    tile = page.locator(".tile[data-board=edge-1]")
    tile.get_by_role("button", name="Leave out edge-1").click()
    expect(tile.locator(".badge")).to_have_text("left out")
    frames_go_on(page)
    tile.get_by_role("button", name="Take back edge-1").click()
    expect(tile.locator(".badge")).to_have_text("working")
    frames_go_on(page)
    for split, boards in (("one board", 4), ("lcp:2", 5)):
        button = page.get_by_role("button", name=split)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".tile")).to_have_count(boards)
        frames_go_on(page)


def test_it_pauses_and_takes_another_source_by_keyboard(open_: Open) -> None:
    page = open_(375, "light")
    frames_go_on(page)
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.locator("#pill")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").press("Enter")
    expect(page.locator("#pill")).to_have_text("Live")
    page.locator("#sources select").select_option("synthetic:?fps=10")
    becomes_true(
        page, "fetch('api/state').then(r => r.json()).then(s => s.source === 'synthetic:?fps=10')"
    )
    becomes_true(page, "Math.abs(parseFloat(document.querySelector('#fps').textContent) - 10) < 2")

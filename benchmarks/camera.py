"""What a live camera costs: latency beside inference, memory, and many who watch.

    python -m benchmarks.camera latency      frame to answer at a client, less the inference
    python -m benchmarks.camera watchers     inference while 0 and 50 clients watch, in turns
    python -m benchmarks.camera memory       growth over 30,000 frames

Each appends its rows to benchmarks/camera.csv. The bundled network of two branches runs for this
machine's processor on two workers of this machine; frames are 640x480. The camera is pinned to one
core. Where other work runs, `nice -n -15` keeps it out of the figures; the table has the load.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from lcp_tvm.bundled import EXAMPLE, bundled_examples
from lcp_tvm.camera.hub import Hub
from lcp_tvm.camera.pipeline import Pipeline
from lcp_tvm.camera.result import Result
from lcp_tvm.camera.server import serving
from lcp_tvm.camera.split import splits_of
from lcp_tvm.cli.compile import compile_file
from lcp_tvm.package import Package
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import local_workers
from lcp_tvm.split_text import Lcp

TABLE = Path(__file__).with_suffix(".csv")
FIELDS = ("what", "case", "value", "unit", "frames", "load")
AT_30, AT_150 = "synthetic:?size=640x480&fps=30", "synthetic:?size=640x480&fps=150"
WATCHERS = 50
TURNS, TURN_S = 3, 8.0
LATENCY_FRAMES, MEMORY_FRAMES, WARM_FRAMES = 600, 30_000, 2_000


def compiled(folder: Path) -> Package:
    example = bundled_examples() / EXAMPLE
    return compile_file(
        example / "vgg_split2.onnx",
        folder / "branches.lcp",
        "cpu",
        split=Lcp(2),
        calibrate=example / "calibration",
    )


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start this file's other end, on all cores."""
    command = [sys.executable, "-m", "benchmarks.camera", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    psutil.Process(process.pid).cpu_affinity([])
    return process


class Live:
    """A camera and its page, in this process."""

    def __init__(self, package: Package, stack: ExitStack, source: str) -> None:
        workers = stack.enter_context(local_workers(2))
        self.hub = Hub()
        self.results: list[Result] = []
        settings = Settings(in_flight=2, trace=True)
        splits = splits_of([package], lambda plan: workers, settings)
        self.camera = Pipeline(splits, [source], show=self._show)
        self.kept = True

    def _show(self, result: Result) -> None:
        if self.kept:
            self.results.append(result)
        self.hub.publish(result)


async def received(link: str, seconds: float) -> list[tuple[int, float, float]]:
    """Watch for a while: each frame's number, when it came, and its inference in ms."""
    page = await websocket_connect(HTTPRequest(link.replace("http", "ws") + "watch"))
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message = await page.read_message()
        if isinstance(message, bytes):
            now_s = time.monotonic()
            (length,) = struct.unpack_from(">I", message)
            caption = json.loads(message[4 : 4 + length])
            found.append((caption["number"], now_s, caption["infer_ms"]))
    page.close()
    return found


async def watch_for_ever(link: str) -> None:
    """Print what comes, a line a frame, until we are ended."""
    page = await websocket_connect(HTTPRequest(link.replace("http", "ws") + "watch"))
    while (message := await page.read_message()) is not None:
        if isinstance(message, bytes):
            (length,) = struct.unpack_from(">I", message)
            print(json.loads(message[4 : 4 + length])["number"], time.monotonic(), flush=True)


async def latency(live: Live) -> list[tuple[str, str, float, str, int]]:
    """Captured, prepared, inferred, encoded, sent, and read by a client of another process."""
    async with live.camera, serving(live.hub, live.camera, "127.0.0.1", 0) as link:
        client = started("client", link)
        await live.camera.run(LATENCY_FRAMES)
        client.terminate()
        out, _ = client.communicate()
    results = {result.frame.number: result for result in live.results}
    came = [line.split() for line in out.splitlines()]
    beside = [
        (float(at_s) - result.frame.captured_s) * 1e3 - result.infer_ms
        for number, at_s in came
        if (result := results.get(int(number))) is not None
    ][30:]
    answer = [r.latency_ms - r.infer_ms for r in live.results][30:]
    infer = [r.infer_ms for r in live.results][30:]
    return [
        ("latency", "capture to client, less inference, median", median(beside), "ms", len(beside)),
        ("latency", "capture to answer, less inference, median", median(answer), "ms", len(answer)),
        ("latency", "inference, median", median(infer), "ms", len(infer)),
    ]


async def watchers(live: Live) -> list[tuple[str, str, float, str, int]]:
    medians: dict[int, list[float]] = {0: [], WATCHERS: []}
    frames = dict.fromkeys(medians, 0)
    async with live.camera, serving(live.hub, live.camera, "127.0.0.1", 0) as link:
        await asyncio.sleep(TURN_S)
        for _ in range(TURNS):
            for count, found in medians.items():
                clients = started("clients", link, str(count))
                while live.hub.watching < count:
                    await asyncio.sleep(0.1)
                live.results.clear()
                await asyncio.sleep(TURN_S)
                found.append(median(result.infer_ms for result in live.results))
                frames[count] += len(live.results)
                clients.terminate()
                clients.wait()
                while live.hub.watching:
                    await asyncio.sleep(0.1)
    rows = [
        ("watchers", f"inference, {count} watching, median", median(found), "ms", frames[count])
        for count, found in medians.items()
    ]
    ratio = median(b / a for a, b in zip(medians[0], medians[WATCHERS], strict=True))
    case = f"ratio of {WATCHERS} to 0, median of {TURNS} turns"
    return [*rows, ("watchers", case, ratio, "", sum(frames.values()))]


async def memory(live: Live) -> list[tuple[str, str, float, str, int]]:
    live.kept = False
    process = psutil.Process()
    async with live.camera, serving(live.hub, live.camera, "127.0.0.1", 0) as link:
        client = started("clients", link, "1")
        await live.camera.run(WARM_FRAMES)
        before = process.memory_info().rss
        while live.camera.state().answered < WARM_FRAMES + MEMORY_FRAMES:
            await asyncio.sleep(1)
        growth = (process.memory_info().rss - before) / 1e6
        client.terminate()
        client.wait()
    return [("memory", "growth of resident memory", growth, "MB", MEMORY_FRAMES)]


async def many(link: str, count: int) -> None:
    await asyncio.gather(*(received(link, 1e9) for _ in range(count)), asyncio.sleep(1e9))


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "client":
        asyncio.run(watch_for_ever(rest[0]))
        return
    if what == "clients":
        asyncio.run(many(rest[0], int(rest[1])))
        return
    measure = {"latency": latency, "watchers": watchers, "memory": memory}[what]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        live = Live(compiled(Path(folder)), stack, AT_150 if what == "memory" else AT_30)
        cores = sorted(os.sched_getaffinity(0))
        load = os.getloadavg()[0]
        os.sched_setaffinity(0, cores[:1])
        rows = asyncio.run(measure(live))
        os.sched_setaffinity(0, cores)
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if new:
            table.writerow(FIELDS)
        for name, case, value, unit, frames in rows:
            print(f"{case}: {value:.2f} {unit}")
            table.writerow((name, case, f"{value:.2f}", unit, frames, f"{load:.1f}"))


if __name__ == "__main__":
    main()

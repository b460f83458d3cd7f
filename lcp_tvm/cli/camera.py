"""``lcp-tvm camera``: a live camera, answered by several boards, on a page."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcp_tvm.bundled import EXAMPLE, bundled_examples
from lcp_tvm.cli.compile import compile_file
from lcp_tvm.cli.demo import BOARD, BOARDS, BRANCHES, ORIGINAL
from lcp_tvm.cli.options import Number, debug_option, workers_options
from lcp_tvm.cli.output import ProgressBar
from lcp_tvm.cli.run import MAX_IN_FLIGHT, workers_of
from lcp_tvm.errors import InputError
from lcp_tvm.split_text import Lcp

if TYPE_CHECKING:
    from lcp_tvm.camera.controls import State
    from lcp_tvm.camera.pipeline import Pipeline
    from lcp_tvm.camera.result import Result
    from lcp_tvm.package import Package
    from lcp_tvm.plan.plan import Plan, Policy
    from lcp_tvm.rpc.workers import Workers

BUNDLED_BOARDS = 4
"""Two for each of two branches, so that any one can be left out."""

MOST_BOARDS = 64
PORT = 8080
NOBODY_ELSE = "127.0.0.1"


@click.command("camera")
@click.argument(
    "files", metavar="[NET.lcp]...", type=click.Path(path_type=Path, dir_okay=False), nargs=-1
)
@click.option(
    "--source",
    "sources",
    metavar="URI",
    multiple=True,
    default=("synthetic:",),
    show_default=True,
    help="camera:N, rtsp://..., a video file, a folder of pictures, or synthetic: for pictures "
    "that move; synthetic:FOLDER?size=640x480&fps=30 for pictures of yours. Give several for "
    "the page to choose from.",
)
@workers_options
@click.option(
    "--in-flight",
    metavar="N",
    type=click.IntRange(1, MAX_IN_FLIGHT),
    default=2,
    show_default=True,
    help="Frames that are computed at a time, on each replica of the network.",
)
@click.option(
    "--deadline",
    metavar="S",
    type=Number(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds within which an answer must be there.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    default=NOBODY_ELSE,
    show_default=True,
    help="Where the page is; any other address lets those in who have the link that is printed.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port of the page; 0 takes a free one.",
)
@click.option(
    "--record",
    metavar="OUT.mp4",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a film of what is shown.",
)
@click.option(
    "--json-log",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a line of JSON for each answer.",
)
@click.option(
    "--frames", metavar="N", type=click.IntRange(min=1), help="End after so many answers."
)
@debug_option
def camera_command(
    files: tuple[Path, ...],
    sources: tuple[str, ...],
    workers: str | None,
    cluster_file: Path | None,
    policy: Policy | None,
    in_flight: int,
    deadline: float,
    listen: str,
    port: int,
    record: Path | None,
    json_log: Path | None,
    frames: int | None,
) -> None:
    """Show a live camera on a page, its frames answered by several boards, until Ctrl-C.

    Always the newest frame is computed; older ones are dropped. Of several packages, one network
    split in several ways, the page chooses one. Without a package a bundled network that knows ten
    kinds of clothes is compiled, as two branches and whole. Without boards, workers are started on
    this machine; --workers N starts N.

    \b
    Examples:
      lcp-tvm camera
      lcp-tvm camera net.lcp --source camera:0 --workers 192.168.2.99:9090,192.168.2.98:9090
      lcp-tvm camera ftp.lcp whole.lcp --source rtsp://192.168.2.5/live --cluster boards.toml
      lcp-tvm camera net.lcp --source film.mp4 --record answers.mp4 --json-log answers.jsonl
      lcp-tvm camera --listen 0.0.0.0 --port 8000
    """
    with ExitStack() as stack:
        packages = _packages(files, stack)

        from lcp_tvm.camera.hub import Hub
        from lcp_tvm.camera.pipeline import Pipeline
        from lcp_tvm.camera.recording import Film, Log
        from lcp_tvm.camera.split import splits_of
        from lcp_tvm.rpc.settings import Settings

        hub = Hub()
        shows: list[Callable[[Result], None]] = [hub.publish]
        if record is not None:
            shows.append(stack.enter_context(Film(record)).take)
        if json_log is not None:
            shows.append(stack.enter_context(Log(json_log)).take)

        def show(result: Result) -> None:
            for one in shows:
                one(result)

        settings = Settings(policy=policy, in_flight=in_flight, deadline_s=deadline, trace=True)
        fewest = 1 if files else BUNDLED_BOARDS
        boards = _boards(packages, workers, cluster_file, policy, fewest, stack)
        pipeline = Pipeline(splits_of(packages, boards, settings), sources, show=show)

        async def live() -> State:
            from lcp_tvm.camera.server import serving

            async with AsyncExitStack() as opened:
                await opened.enter_async_context(pipeline)
                opened.enter_context(_ended_by_signals(pipeline))
                link = await opened.enter_async_context(serving(hub, pipeline, listen, port))
                click.echo(f"page: {link}")
                await pipeline.run(frames)
                return pipeline.state()

        state = asyncio.run(live())
    click.echo(
        f"answered {state.answered} frames, {state.latency_p50_ms:.1f} ms from capture to answer "
        f"of the last ones; dropped {state.dropped}, late {state.late}, failed {state.failed}"
    )


def _packages(files: Sequence[Path], stack: ExitStack) -> list[Package]:
    """Open packages, or compile the bundled network."""
    if not files:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        example = bundled_examples() / EXAMPLE
        click.echo(f"compiling {BRANCHES} and {ORIGINAL} for {BOARD}", err=True)
        calibration = example / "calibration"
        branches = folder / "branches.lcp"
        return [
            compile_file(example / BRANCHES, branches, BOARDS, split=Lcp(2), calibrate=calibration),
            compile_file(example / ORIGINAL, folder / "original.lcp", BOARD),
        ]
    with ProgressBar() as progress:
        progress("loading the runtime", 0.0)
        from lcp_tvm.package import read_package

        return [read_package(file) for file in files]


def _boards(
    packages: Sequence[Package],
    text: str | None,
    cluster_file: Path | None,
    policy: Policy | None,
    fewest: int,
    stack: ExitStack,
) -> Callable[[Plan], Workers | None]:
    """Return the boards of each plan; where none are named, the same workers of this machine."""
    from lcp_tvm.executor import check_machine
    from lcp_tvm.rpc.workers import local_workers

    count = text if text is not None and text.isascii() and text.isdigit() else None
    if cluster_file is not None or text != count:
        return lambda plan: workers_of(text, cluster_file, plan, policy)
    if count is not None and not 0 < int(count) <= MOST_BOARDS:
        raise InputError(f"--workers {count}: from 1 to {MOST_BOARDS} are started here")
    for package in packages:
        check_machine(package)
    plans = [package.plan() for package in packages]
    needed = max(fewest, *(plan.devices * plan.replicas for plan in plans))
    started = stack.enter_context(local_workers(needed if count is None else int(count)))
    return lambda plan: started


@contextmanager
def _ended_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end a pipeline; a second Ctrl-C does not wait for that."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def stop() -> None:
        restore()
        pipeline.stop()

    def restore() -> None:
        for number in signals:
            if loop.remove_signal_handler(number):
                signal.signal(number, before[number])

    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        restore()

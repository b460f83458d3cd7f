"""Printing: tables and JSON on stdout, progress and messages on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

WIDE = 110
QUIET_SECONDS = 2.0


def stdout_console() -> Console:
    """Return a console for tables: as wide as the terminal, or ``WIDE`` in files and pipes."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def print_json(values: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(values, indent=1, allow_nan=False))


def print_messages(messages: Iterable[str]) -> None:
    """Print what the user should know, one line each, on stderr."""
    for message in messages:
        click.echo(f"note: {message}", err=True)


class ProgressBar:
    """A bar on stderr while a block runs: ``bar("simulating", 0.7)``.

    Where stderr is no terminal, a line each time something new begins, once the whole has taken
    more than ``QUIET_SECONDS``.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._start = time.monotonic()
        self._last = ""

    def __enter__(self) -> ProgressBar:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=1.0)
            self._bar.start()
        return self

    def __call__(self, what: str, fraction: float) -> None:
        """Say what is being done, and the fraction of the whole that is finished."""
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=fraction)
        elif what != self._last and time.monotonic() - self._start > QUIET_SECONDS:
            click.echo(f"{fraction:4.0%} {what}", err=True)
            self._last = what

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

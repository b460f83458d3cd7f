"""Printing: tables and JSON on stdout, progress and messages on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WIDE = 110
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


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
    """A bar on stderr while a block runs: ``bar("simulating", 0.7)``; nothing in a log file."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task("", total=1.0)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __call__(self, what: str, fraction: float) -> None:
        """Say what is being done, and the fraction of the whole that is finished."""
        self._bar.update(self._task, description=what, completed=fraction)

    def say(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

"""Options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from lcp_tvm.errors import InputError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)
PICTURES = (".png", ".svg", ".pdf")


@dataclass(slots=True)
class Debug:
    """Whether a user error shows its traceback; --debug sets it while options are parsed."""

    wanted: bool = False


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    debug = context.find_object(Debug)
    if debug is not None and value:
        debug.wanted = True


def debug_option(function: Decorated) -> Decorated:
    """Add ``--debug``."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the traceback of an error.",
    )(function)


def json_option(function: Decorated) -> Decorated:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")(
        function
    )


def package_argument(function: Decorated) -> Decorated:
    """Add the argument ``NET.lcp``."""
    return click.argument("package", metavar="NET.lcp", type=FILE)(function)


class Number(click.FloatRange):
    """A range of floats; "nan" is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


def plot_option(what: str) -> Callable[[Decorated], Decorated]:
    """Add ``--plot``, a picture of ``what`` in a folder that exists."""
    return click.option(
        "--plot",
        metavar="FILE.png",
        type=FILE,
        callback=_check_picture,
        help=f"Draw {what} ({', '.join(PICTURES)}).",
    )


def _check_picture(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix not in PICTURES:
        raise InputError(f"{path}: a picture's name ends in {', '.join(PICTURES)}")
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    return path


def workers_options(function: Decorated) -> Decorated:
    """Add ``--workers``, ``--cluster`` and ``--policy``: where tasks run."""
    for option in (
        click.option(
            "--policy",
            type=click.Choice(["static", "sharing", "stealing"]),
            help="Who runs a task: the device of the plan; whom the gateway deals it to; whoever "
            "is free. By default as the plan says.",
        ),
        click.option(
            "--cluster",
            "cluster_file",
            metavar="FILE.toml",
            type=FILE,
            help="Boards with their addresses and speeds, as 'predict' takes it.",
        ),
        click.option(
            "--workers",
            metavar="HOST:PORT,...",
            help="Boards that run 'lcp-tvm worker', device 0 first; or tracker://HOST:PORT, for "
            "those that a tracker knows. One more than the network has devices is the gateway; "
            "fewer take several parts, more take the next picture. Without it workers are started "
            "on this machine.",
        ),
    ):
        function = option(function)
    return function

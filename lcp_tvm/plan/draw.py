"""Draws a plan: who computes what, where, and what moves between them."""

from __future__ import annotations

from pathlib import Path

from lcp_tvm.errors import InputError
from lcp_tvm.plan.draw_layout import lay_out
from lcp_tvm.plan.plan import Plan

SUFFIXES = (".svg", ".png")


def draw_plan(plan: Plan, path: Path) -> None:
    """Write a picture of a plan.

    Tasks are boxes in the colour of their device, what moves are lines as thick as its bytes.
    Tasks that write parts of one map lie as these do; of large plans they become one box.

    Parameters
    ----------
    path : ``.svg`` or ``.png``.

    Raises
    ------
    InputError
        The path has another suffix, or cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: pictures of plans are {' or '.join(SUFFIXES)} files, not '{path.suffix}'"
        )
    from lcp_tvm.plan.draw_paint import paint  # matplotlib takes a second

    try:
        paint(plan, lay_out(plan), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error

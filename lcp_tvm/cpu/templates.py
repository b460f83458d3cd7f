"""The ways to compute a convolution, and what each leaves open: what a search chooses from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray
from tvm import tirx

from lcp_tvm.cpu.blocked import Blocked
from lcp_tvm.cpu.choose import all_plans_of, choose_conv, direct_cycles, winograd_cycles
from lcp_tvm.cpu.core import Core
from lcp_tvm.cpu.int8_tile import choose_int8_tile, int8_cycles, int8_tiles_of
from lcp_tvm.cpu.kernels.conv import Conv, Tile, conv_kernel, conv_pool_kernel, pack_weight
from lcp_tvm.cpu.kernels.conv_int8 import Int8Conv, Int8Tile, conv_int8_kernel, pack_int8
from lcp_tvm.cpu.kernels.winograd import (
    Winograd,
    pack_for_winograd,
    winograd_kernel,
    winograd_pool_kernel,
)
from lcp_tvm.cpu.tile import tiles_of

Choice = Tile | Winograd | Int8Tile
"""What a template leaves open for one convolution."""

Choose = Callable[[Conv], Choice]

Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Template:
    """A way to compute a convolution.

    Attributes
    ----------
    conv : the type of the convolutions that it computes.
    choice : the type of what it leaves open; no other template has it.
    choices : all of a convolution on a core; none where it cannot compute it.
    cycles : that the model gives a choice.
    kernel : of a name, a convolution and a choice: (data, packed weight, *operands, out).
    pack : OIHW weights as the kernel reads them; shared ones the same for all choices.
    pools : whether a choice can be followed by a max pool of this window in one kernel.
    pool_kernel : the same as ``kernel``, of the window and its result too; None: it never can.
    """

    conv: type[Conv]
    choice: type[Any]
    choices: Callable[[Any, Core], Iterator[Any]]
    cycles: Callable[[Any, Any, Core], float]
    kernel: Callable[[str, Any, Any], tirx.PrimFunc]
    pack: Callable[[Any, Any, NDArray[Any]], NDArray[Any]]
    pools: Callable[[Any, Window], bool] = lambda choice, window: False
    pool_kernel: Callable[[str, Conv, Any, Window, Blocked], tirx.PrimFunc] | None = None


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "blocked_conv2d": Template(
            Conv,
            Tile,
            tiles_of,
            direct_cycles,
            conv_kernel,
            pack_weight,
            lambda tile, window: True,
            conv_pool_kernel,
        ),
        "winograd_conv2d": Template(
            Conv,
            Winograd,
            all_plans_of,
            winograd_cycles,
            winograd_kernel,
            pack_for_winograd,
            lambda plan, window: not any(plan.outputs % size for size in window),
            winograd_pool_kernel,
        ),
        "int8_conv2d": Template(
            Int8Conv, Int8Tile, int8_tiles_of, int8_cycles, conv_int8_kernel, pack_int8
        ),
    }
)
"""By the names of their kernels."""


def template_of(choice: Choice) -> tuple[str, Template]:
    """Return the template that a choice is of, and its name."""
    return next(pair for pair in TEMPLATES.items() if isinstance(choice, pair[1].choice))


def choose(conv: Conv, core: Core) -> Choice:
    """Return what the model of the core chooses."""
    return choose_int8_tile(conv, core) if isinstance(conv, Int8Conv) else choose_conv(conv, core)


def choices_of(conv: Conv, core: Core) -> list[Choice]:
    """Return all choices of all templates: the model's, then others by their modelled cycles."""
    costs = {
        choice: template.cycles(conv, choice, core)
        for template in TEMPLATES.values()
        if template.conv is type(conv)
        for choice in template.choices(conv, core)
    }
    first = choose(conv, core)
    return [first, *sorted((one for one in costs if one != first), key=lambda one: costs[one])]

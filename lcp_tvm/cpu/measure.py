"""What calls of kernels take, here or on a worker: processor time of a thread, in turns."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx

from lcp_tvm.cpu.build import link_shared
from lcp_tvm.cpu.kernels.conv import Conv
from lcp_tvm.cpu.target import Target
from lcp_tvm.cpu.templates import Choice, template_of

FEWEST_TURNS, MOST_TURNS = 3, 200
TIMED = "lcp_timed"
_SOURCE = Path(__file__).with_name("measure.c")

Array = npt.NDArray[Any]


class Machine(Protocol):
    """Where kernels run."""

    def load(self, library: Path) -> Callable[..., int]:
        """Return a library's function ``lcp_timed``."""

    def tensor(self, array: Array) -> Any:
        """Copy an array there."""


class ThisMachine:
    """The machine that this program runs on."""

    def load(self, library: Path) -> Callable[..., int]:
        """Return a library's function ``lcp_timed``."""
        timed: Callable[..., int] = tvm.runtime.load_module(str(library))[TIMED]
        return timed

    def tensor(self, array: Array) -> Any:
        """Copy an array to where kernels may read it."""
        return tvm.runtime.tensor(array, tvm.cpu())


class Bench:
    """Measures kernels that are compiled for a target on a machine."""

    def __init__(self, target: Target, machine: Machine) -> None:
        self._target, self._machine = target, machine

    def measure(self, conv: Conv, choices: Sequence[Choice], seconds: float) -> list[float]:
        """Return the median time in seconds of a convolution's calls, by choice.

        Parameters
        ----------
        seconds : the measured calls end soon after so long, but for the fewest turns.

        Raises
        ------
        ModelError : TVM or the linker cannot compile them.
        WorkerError : a worker does not answer.
        """
        kernels = [
            template_of(choice)[1].kernel(f"kernel_{number}", conv, choice)
            for number, choice in enumerate(choices)
        ]
        with tempfile.TemporaryDirectory() as work:
            timed = self._machine.load(self._build(kernels, Path(work)))
        arguments = list(self._arguments(kernels))
        turns: list[list[int]] = []
        while len(turns) < FEWEST_TURNS + 1 or (
            sum(map(sum, turns)) < 1e9 * seconds and len(turns) < MOST_TURNS + 1
        ):
            turns.append([int(timed(number, *each)) for number, each in enumerate(arguments)])
        # The first turn fills caches.
        return [1e-9 * statistics.median(times) for times in zip(*turns[1:], strict=True)]

    def _arguments(self, kernels: Sequence[tirx.PrimFunc]) -> Iterator[list[Any]]:
        """Yield random arguments; weights are each kernel's own, as those of layers are."""
        maps: dict[tuple[bool, tuple[int, ...]], Any] = {}
        random = np.random.default_rng(0)
        for kernel in kernels:
            made = []
            types = list(kernel.ty.params)
            for number, argument in enumerate(types):
                shape = tuple(int(size) for size in argument.shape)
                key = (number == 0, shape)
                if number not in (0, len(types) - 1) or key not in maps:
                    maps[key] = self._machine.tensor(_noise(random, shape, str(argument.dtype)))
                made.append(maps[key])
            yield made

    def _build(self, kernels: Sequence[tirx.PrimFunc], work: Path) -> Path:
        names = [str(kernel.attrs["global_symbol"]) for kernel in kernels]
        module = tvm.IRModule(dict(zip(names, kernels, strict=True)))
        executable = tvm.compile(module, target=self._target.tvm_target())
        (work / "kernels.inc").write_text("".join(f"KERNEL({name})\n" for name in names))
        (work / _SOURCE.name).write_bytes(_SOURCE.read_bytes())
        library = work / "kernels.so"

        def link(output: str, objects: list[str], **_: object) -> None:
            link_shared([*map(Path, objects), work / _SOURCE.name], self._target, Path(output))

        executable.export_library(str(library), fcompile=link, workspace_dir=str(work))
        return library


def _noise(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if np.issubdtype(dtype, np.integer):
        return random.integers(-8, 8, shape).astype(dtype)
    return random.standard_normal(shape, np.float32).astype(dtype)

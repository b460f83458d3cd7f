"""Compiled functions that can be called: in this process, or in a worker over RPC."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from lcp_tvm import native
from lcp_tvm.cpu.processor import PROCESSORS, this_processor
from lcp_tvm.cpu.target import compile_for
from lcp_tvm.errors import PackageError
from lcp_tvm.module_code import ModuleCode
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Plan
from lcp_tvm.plan.run import run_plan
from lcp_tvm.vta.simulator import load_program_bytes, native_error

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """A module on a device.

    ``vm`` has the functions; ``vta`` has the programs that they call, of these symbols, and is
    None where there are none.
    """

    functions: tuple[str, ...]
    vm: relax.VirtualMachine
    vta: tvm.runtime.Module | None
    programs: tuple[str, ...]


class Executor:
    """Functions on one device, ready to be called."""

    def __init__(self, modules: Iterable[LoadedModule], device: tvm.runtime.Device) -> None:
        loaded = tuple(modules)
        self._machines = {name: module.vm for module in loaded for name in module.functions}
        self._vta = {symbol: module.vta for module in loaded for symbol in module.programs}
        self._device = device

    def call(self, function: str, arguments: Sequence[Array]) -> list[Array]:
        """Call a function once; one array per result.

        Raises
        ------
        PackageError
            No module that was loaded has it.
        """
        if function not in self._machines:
            raise PackageError(f"function '{function}': no module that is loaded has it")
        vm = self._machines[function]
        on_device = [
            tvm.runtime.tensor(np.ascontiguousarray(array), self._device) for array in arguments
        ]
        vm.set_input(function, *on_device)
        vm.invoke_stateful(function)
        out = vm.get_outputs(function)
        results = out if isinstance(out, list | tuple) else [out]
        return [tensor.numpy() for tensor in results]

    def run(self, plan: Plan, x: Array, *, fallback: bool = False) -> list[Array]:
        """Run a frame, task by task; one array per output of the plan, which has one input.

        Parameters
        ----------
        fallback : tasks that have another way take it.
        """
        (name,) = plan.inputs
        outputs = run_plan(plan, self.call, {name: x}, fallback=fallback)
        return [outputs[name] for name in plan.outputs]

    def stats(self, symbol: str) -> dict[str, Any]:
        """Return the simulator's counters of a program's last run, as architecture.md has them.

        Raises
        ------
        PackageError
            There is no such program.
        """
        stats: dict[str, Any] = json.loads(str(self._program(symbol)["lcp_tvm.stats"](symbol)))
        return stats

    def dram(self, symbol: str) -> bytes:
        """Return the memory after a program's last run; only in this process."""
        return bytes(self._program(symbol)["lcp_tvm.dram"](symbol))

    def _program(self, symbol: str) -> tvm.runtime.Module:
        if symbol not in self._vta:
            raise PackageError(f"program '{symbol}': no module that is loaded has it")
        return self._vta[symbol]


def load_local(modules: Iterable[ModuleCode]) -> Executor:
    """Load modules into this process.

    Raises
    ------
    PackageError
        A module cannot be loaded.
    ConfigError
        Its programs belong to another board.
    """
    device = tvm.cpu()
    return Executor([_load(module, device) for module in modules], device)


def _load(module: ModuleCode, device: tvm.runtime.Device) -> LoadedModule:
    native.load()  # has what compiled functions call
    try:
        with tempfile.TemporaryDirectory() as folder:  # a loaded library needs no name
            path = Path(folder, f"{module.name}.so")
            path.write_bytes(module.so)
            code = tvm.runtime.load_module(str(path))
        vta = None
        if module.vta is not None:
            vta = load_program_bytes(module.vta)
            code.import_module(vta)
        vm = relax.VirtualMachine(code, device)
        return LoadedModule(module.functions, vm, vta, module.programs())
    except (RuntimeError, ValueError, OSError) as err:
        ours = native_error(str(err))
        raise ours or PackageError(
            f"{module.name}.so: cannot be loaded: {first_line(err)}"
        ) from err


def check_machine(package: Package) -> None:
    """See whether the CPU parts of all modules are for this machine's processor.

    Raises
    ------
    PackageError
        One is for another.
    """
    found = this_processor()
    for module in package.manifest.modules.values():
        if not PROCESSORS[module.processor].runs_on(found):
            raise PackageError(
                f"{package.path}: was compiled for {module.target} on {module.processor}, this "
                f"machine's processor is {found}; run it on such a machine with --workers "
                f"HOST:PORT, or {compile_for(module.target, found)}"
            )


def first_line(err: BaseException) -> str:
    """Return what a TVM error says, without its traceback: the last line that has words."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1] if lines else type(err).__name__

"""A compiled network that can be called: in this process, or in a worker over RPC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from lcp_tvm import native
from lcp_tvm.errors import PackageError
from lcp_tvm.vta.simulator import native_error

ENTRY = "main"


@dataclass(frozen=True, slots=True)
class Executor:
    """A network on one device, ready to run.

    ``vm`` is the CPU part with the VTA part imported, so that the calls ``vta_0`` .. find their
    programs; ``vta`` is None for a network without VTA programs.
    """

    vm: relax.VirtualMachine
    vta: tvm.runtime.Module | None
    device: tvm.runtime.Device

    def run(self, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Run once.

        Parameters
        ----------
        x : float32 ``[1, C, H, W]``, as the network's entry says.

        Returns
        -------
        outputs : one array per output of the network.
        """
        self.vm.set_input(ENTRY, tvm.runtime.tensor(np.ascontiguousarray(x), self.device))
        self.vm.invoke_stateful(ENTRY)
        out = self.vm.get_outputs(ENTRY)
        outputs = out if isinstance(out, list | tuple) else [out]
        return [tensor.numpy() for tensor in outputs]

    def stats(self, symbol: str) -> dict[str, Any]:
        """Return the simulator's counters of a program's last run, as architecture.md has them.

        Raises
        ------
        PackageError : the network has no VTA part.
        """
        if self.vta is None:
            raise PackageError(f"stats of {symbol!r}: this network has no VTA program")
        stats: dict[str, Any] = json.loads(str(self.vta["lcp_tvm.stats"](symbol)))
        return stats


def load_local(net_so: Path, net_vta: Path | None) -> Executor:
    """Load a network into this process.

    Parameters
    ----------
    net_so : the CPU part, a shared library.
    net_vta : the VTA part; None when the network has none.

    Raises
    ------
    PackageError : a part cannot be loaded, or belongs to another board.
    """
    device = tvm.cpu()
    try:
        cpu = tvm.runtime.load_module(str(net_so))
        vta = None
        if net_vta is not None:
            native.load()
            vta = tvm.runtime.load_module(str(net_vta))
            cpu.import_module(vta)
        return Executor(relax.VirtualMachine(cpu, device), vta, device)
    except (RuntimeError, ValueError, OSError) as err:
        ours = native_error(str(err))
        raise ours or PackageError(f"{net_so.name}: cannot be loaded: {first_line(err)}") from err


def first_line(err: BaseException) -> str:
    """Return what a TVM error says, without its traceback: the last line that has words."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1] if lines else type(err).__name__

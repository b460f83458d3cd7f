"""The code of one module of a package."""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.vta.container import read_header


@dataclass(frozen=True, slots=True)
class ModuleCode:
    """Functions of a plan, compiled for one target.

    Attributes
    ----------
    functions : their names, which are the entries of ``so``.
    so : a shared library, the part for the CPU.
    vta : the programs that ``so`` calls, in the form of docs/architecture.md; None without any.
    """

    name: str
    functions: tuple[str, ...]
    so: bytes
    vta: bytes | None = None

    def programs(self) -> tuple[str, ...]:
        """Return the programs' symbols.

        Raises
        ------
        PackageError
            ``vta`` is corrupt.
        """
        if self.vta is None:
            return ()
        return tuple(program["symbol"] for program in read_header(self.vta)["programs"])

"""Processors that CPU parts are compiled for, and which of them a machine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lcp_tvm.cpu.core import CORES, Core

X86_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni")
"""The x86-64 psABI's, and AVX-512 VNNI."""

_FAMILIES = (X86_LEVELS, ("aarch64", "aarch64-dotprod"), ("armv7l",))
"""What machines call themselves; each runs the code of those before it in its family."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What code is generated for.

    Attributes
    ----------
    name : one of `PROCESSORS`.
    machine : its family, as `platform.machine` names it.
    needs : the least machine that runs it, as `this_processor` names machines.
    mcpu : LLVM's and, with underscores, ziglang's name; None: the family's least.
    mattr : LLVM's features beside.
    """

    name: str
    machine: str
    needs: str
    mcpu: str | None
    mattr: tuple[str, ...]

    @property
    def core(self) -> Core:
        """What kernels must know of it."""
        return CORES[self.name]

    def runs_on(self, found: str) -> bool:
        """Whether its code runs on a machine, as `this_processor` names it there."""
        (family,) = (family for family in _FAMILIES if self.needs in family)
        return found in family[family.index(self.needs) :]


# LLVM takes half of a vector of AVX-512, unless it is asked for the whole.
_WIDE = ("-prefer-256-bit",)
_NEON = ("+neon",)

PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {
        row[0]: Processor(*row)
        for row in (
            ("x86-64-v2", "x86_64", "x86-64-v2", "x86-64-v2", ()),
            ("x86-64-v3", "x86_64", "x86-64-v3", "x86-64-v3", ()),
            ("x86-64-v4", "x86_64", "x86-64-v4", "x86-64-v4", _WIDE),
            ("x86-64-v4-vnni", "x86_64", "x86-64-v4-vnni", "x86-64-v4", (*_WIDE, "+avx512vnni")),
            ("cortex-a9", "armv7l", "armv7l", "cortex-a9", ("+neon", "+vfp3")),
            ("aarch64", "aarch64", "aarch64", None, _NEON),
            ("aarch64-dotprod", "aarch64", "aarch64-dotprod", None, (*_NEON, "+dotprod")),
            ("cortex-a53", "aarch64", "aarch64", "cortex-a53", _NEON),
            ("cortex-a72", "aarch64", "aarch64", "cortex-a72", _NEON),
            ("cortex-a76", "aarch64", "aarch64-dotprod", "cortex-a76", _NEON),
        )
    }
)


def this_processor() -> str:
    """Name this machine's processor: the best of its family, of unknown ones `uname`'s machine."""
    import tvm_ffi

    from lcp_tvm import native

    native.load()
    return str(tvm_ffi.get_global_func("lcp_tvm.Processor")())

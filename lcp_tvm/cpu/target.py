"""Targets: what ``--target`` may say, and the processor that CPU parts are compiled for."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    import tvm

Cpu = Literal["host", "cortex-a9", "cortex-a53", "cortex-a72", "cortex-a76"]

DEFAULT_VTA = "pynq_z1"
ON_BOARD = "@arm"

# The processor beside each VTA; None: the config is of no real board.
VTA_CPUS: Mapping[str, Cpu | None] = MappingProxyType(
    {
        "pynq_z1": "cortex-a9",
        "pynq_z2": "cortex-a9",
        "ultra96": "cortex-a53",
        "zcu104": "cortex-a53",
        "sim": None,
    }
)
ARM_CPUS: Mapping[str, Cpu] = MappingProxyType(
    {"pynq": "cortex-a9", "rpi3": "cortex-a53", "rpi4": "cortex-a72", "rpi5": "cortex-a76"}
)

# The newest C library a compiled part may ask for: that of Ubuntu 18.04, which the boards'
# current images are all newer than.
GLIBC = "2.27"


_MACHINES = {
    "cortex-a9": "armv7l",
    "cortex-a53": "aarch64",
    "cortex-a72": "aarch64",
    "cortex-a76": "aarch64",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a network is compiled for.

    Attributes
    ----------
    text : the target as the user may write it, e.g. ``vta:pynq_z1``.
    kind : "vta", "arm" or "cpu".
    vta : name of the VTA config, or the path of a ``.json`` file; None without a VTA.
    cpu : the processor that the CPU parts run on; "host" is this machine's family.
    """

    text: str
    kind: Literal["vta", "arm", "cpu"]
    vta: str | None
    cpu: Cpu

    def runs_on(self, machine: str) -> bool:
        """Whether the CPU parts are for a machine, as `platform.machine` names it."""
        return self.cpu == "host" or _MACHINES[self.cpu] == machine

    @property
    def zig_triple(self) -> str:
        """The triple, with the C library's version, that ``zig cc -target`` takes."""
        if self.cpu == "cortex-a9":
            return f"arm-linux-gnueabihf.{GLIBC}"
        return f"{_machine(self.cpu)}-linux-gnu.{GLIBC}"

    @property
    def zig_cpu(self) -> str:
        """The processor that ``zig cc -mcpu`` takes."""
        if self.cpu == "host":
            return "baseline" if _machine("host") == "aarch64" else "x86_64_v2"
        return self.cpu.replace("-", "_")

    def tvm_target(self) -> tvm.target.Target:
        """Return the target that TVM's code generator takes."""
        import tvm

        if self.cpu == "cortex-a9":
            return tvm.target.Target(
                {
                    "kind": "llvm",
                    "mtriple": "armv7a-linux-gnueabihf",
                    "mcpu": "cortex-a9",
                    "mattr": ["+neon", "+vfp3"],
                    "mfloat-abi": "hard",
                }
            )
        machine = _machine(self.cpu)
        options: dict[str, object] = {"kind": "llvm", "mtriple": f"{machine}-linux-gnu"}
        if machine == "aarch64":
            options["mattr"] = ["+neon"]
            if self.cpu != "host":
                options["mcpu"] = self.cpu
        else:
            # A package moves between PCs: nothing newer than SSE4.2 without being asked.
            options["mcpu"] = "x86-64-v2"
        return tvm.target.Target(options)


def parse_target(text: str) -> Target:
    """Read ``vta[:CONFIG][@arm]``, ``arm:BOARD`` or ``cpu``.

    ``vta`` compiles the parts that stay on the CPU for this machine, which simulates the board;
    ``@arm`` cross-compiles them for the board's own ARM cores instead.

    Raises
    ------
    InputError : no such target; the message lists all of them and the nearest.
    """
    text = text.strip()
    if text == "cpu":
        return Target(text, "cpu", None, "host")
    family, colon, rest = text.partition(":")
    if family == "arm" and rest in ARM_CPUS:
        return Target(text, "arm", None, ARM_CPUS[rest])
    if family.removesuffix(ON_BOARD) == "vta" and (rest or not colon):
        own_core = text.endswith(ON_BOARD)
        config = rest.removesuffix(ON_BOARD) or DEFAULT_VTA
        if config not in VTA_CPUS and not config.endswith(".json"):
            raise _unknown(text)
        cpu: Cpu = "host"
        if own_core:
            own = VTA_CPUS.get(config)
            if own is None:
                raise _no_processor(text, config)
            cpu = own
        return Target(f"vta:{config}{ON_BOARD if own_core else ''}", "vta", config, cpu)
    raise _unknown(text)


def target_names() -> tuple[str, ...]:
    """Return every target by name, the default first."""
    vta = [f"vta:{name}" for name in VTA_CPUS]
    boards = [f"vta:{name}{ON_BOARD}" for name, cpu in VTA_CPUS.items() if cpu]
    return (*vta, *boards, *(f"arm:{name}" for name in ARM_CPUS), "cpu")


def _machine(cpu: Cpu) -> str:
    """Return the architecture in LLVM's words."""
    if cpu != "host":
        return "arm" if cpu == "cortex-a9" else "aarch64"
    machine = platform.machine().lower()
    known = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    if machine not in known:
        raise InputError(
            f"target cpu: this machine is {machine}, and CPU code for the host is made for "
            "x86_64 and aarch64 only; compile on one of those"
        )
    return known[machine]


def _unknown(text: str) -> InputError:
    names = target_names()
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return InputError(
        f"--target {text!r}: no such target{hint} Targets: vta (is vta:{DEFAULT_VTA}), "
        f"{', '.join(names)}, or vta:FILE.json"
    )


def _no_processor(text: str, config: str) -> InputError:
    boards = ", ".join(name for name, cpu in VTA_CPUS.items() if cpu)
    return InputError(
        f"--target {text!r}: {config} is no board with ARM cores of its own; "
        f"{ON_BOARD} goes with {boards}; without it the CPU parts run on this machine"
    )

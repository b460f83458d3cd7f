"""Targets: what ``--target`` may say, and the processor that CPU parts are compiled for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lcp_tvm.cpu.processor import PROCESSORS, X86_LEVELS, Processor, this_processor
from lcp_tvm.errors import InputError

if TYPE_CHECKING:
    import tvm

DEFAULT_VTA = "pynq_z1"
ON_BOARD = "arm"

# The processor beside each VTA; None: the config is of no real board.
VTA_CPUS: Mapping[str, str | None] = MappingProxyType(
    {
        "pynq_z1": "cortex-a9",
        "pynq_z2": "cortex-a9",
        "ultra96": "cortex-a53",
        "zcu104": "cortex-a53",
        "sim": None,
    }
)
ARM_CPUS: Mapping[str, str] = MappingProxyType(
    {"pynq": "cortex-a9", "rpi3": "cortex-a53", "rpi4": "cortex-a72", "rpi5": "cortex-a76"}
)

# The newest C library a compiled part may ask for: that of Ubuntu 18.04, which the boards'
# current images are all newer than.
GLIBC = "2.27"


@dataclass(frozen=True, slots=True)
class Target:
    """What a network is compiled for.

    Attributes
    ----------
    text : the target as the user may write it, e.g. ``vta:pynq_z1``.
    kind : "vta", "arm" or "cpu".
    vta : name of the VTA config, or the path of a ``.json`` file; None without a VTA.
    processor : that the CPU parts run on.
    """

    text: str
    kind: Literal["vta", "arm", "cpu"]
    vta: str | None
    processor: Processor

    @property
    def zig_triple(self) -> str:
        """The triple, with the C library's version, that ``zig cc -target`` takes."""
        if self.processor.machine == "armv7l":
            return f"arm-linux-gnueabihf.{GLIBC}"
        return f"{self.processor.machine}-linux-gnu.{GLIBC}"

    @property
    def zig_cpu(self) -> str:
        """The processor that ``zig cc -mcpu`` takes."""
        return (self.processor.mcpu or "baseline").replace("-", "_")

    def tvm_target(self) -> tvm.target.Target:
        """Return the target that TVM's code generator takes."""
        import tvm

        processor = self.processor
        options: dict[str, object] = {"kind": "llvm", "mattr": list(processor.mattr)}
        if processor.mcpu is not None:
            options["mcpu"] = processor.mcpu
        if processor.machine == "armv7l":
            # With a vendor: LLVM takes the rest for the ABI, whose division ziglang has.
            options |= {"mtriple": "armv7a-unknown-linux-gnueabihf", "mfloat-abi": "hard"}
        else:
            options["mtriple"] = f"{processor.machine}-linux-gnu"
        return tvm.target.Target(options)


def parse_target(text: str) -> Target:
    """Read ``vta[:CONFIG][@arm]``, ``arm:BOARD`` or ``cpu``; or with a level of PCs.

    ``cpu`` is this machine, ``cpu:x86-64-v3`` any PC of that level or a better one. ``vta``
    compiles the parts that stay on the CPU for this machine, which simulates the board, or for
    ``@LEVEL``; ``@arm`` cross-compiles them for the board's own ARM cores instead.

    Raises
    ------
    InputError : no such target; the message lists all of them and the nearest.
    """
    text = text.strip()
    family, colon, rest = text.partition(":")
    if family == "cpu" and (rest in X86_LEVELS or not colon):
        return Target(text, "cpu", None, PROCESSORS[rest] if rest else _this_machine(text))
    if family == "arm" and rest in ARM_CPUS:
        return Target(text, "arm", None, PROCESSORS[ARM_CPUS[rest]])
    whole, at, cpu = text.rpartition("@")
    if cpu not in (ON_BOARD, *X86_LEVELS):
        whole, at, cpu = text, "", ""
    family, colon, rest = whole.partition(":")
    if family == "vta" and (rest or not colon):
        config = rest or DEFAULT_VTA
        if config not in VTA_CPUS and not config.endswith(".json"):
            raise _unknown(text)
        name = f"vta:{config}{at}{cpu}"
        if cpu == ON_BOARD:
            own = VTA_CPUS.get(config)
            if own is None:
                raise _no_processor(text, config)
            return Target(name, "vta", config, PROCESSORS[own])
        return Target(name, "vta", config, PROCESSORS[cpu] if cpu else _this_machine(text))
    raise _unknown(text)


def compile_for(text: str, found: str) -> str:
    """Return the advice for a machine that cannot run a target's CPU parts.

    Parameters
    ----------
    found : the machine's processor, as `this_processor` names it.
    """
    base = text.partition("@")[0] if text.startswith("vta") else "cpu"
    if found not in X86_LEVELS or text.startswith("arm"):
        return "compile the network for this machine"
    return f"compile it with --target {base}{'@' if base != 'cpu' else ':'}{found}"


def target_names() -> tuple[str, ...]:
    """Return every target by name, the default first."""
    vta = [f"vta:{name}" for name in VTA_CPUS]
    boards = [f"vta:{name}@{ON_BOARD}" for name, cpu in VTA_CPUS.items() if cpu]
    levels = [f"cpu:{level}" for level in X86_LEVELS]
    return (*vta, *boards, *(f"arm:{name}" for name in ARM_CPUS), "cpu", *levels)


def _this_machine(text: str) -> Processor:
    found = this_processor()
    if found not in PROCESSORS:
        raise InputError(
            f"--target {text!r}: this machine is {found}, and CPU code for the host is made for "
            f"arm64 and {X86_LEVELS[0]} or better only; name another machine's processor, or "
            "compile on one of those"
        )
    return PROCESSORS[found]


def _unknown(text: str) -> InputError:
    names = target_names()
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return InputError(
        f"--target {text!r}: no such target{hint} Targets: vta (is vta:{DEFAULT_VTA}), "
        f"{', '.join(names)}, or vta:FILE.json; a vta may end with @LEVEL of a cpu"
    )


def _no_processor(text: str, config: str) -> InputError:
    boards = ", ".join(name for name, cpu in VTA_CPUS.items() if cpu)
    return InputError(
        f"--target {text!r}: {config} is no board with ARM cores of its own; "
        f"@{ON_BOARD} goes with {boards}; without it the CPU parts run on this machine"
    )

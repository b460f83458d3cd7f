"""Processor cores, as far as kernels must know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Core:
    """A core's vector unit.

    Attributes
    ----------
    lanes : float32 numbers of a vector register.
    registers : vector registers.
    products : vectors that are multiplied and added in a cycle.
    latency : cycles until a sum can be added to again.
    loads : vectors that are read in a cycle, broadcasts of one number included.
    broadcasts : whether a number must be read for each product, as on x86; NEON multiplies by a
        lane of a register, so one load serves as many inputs as there are lanes.
    vmla : whether it adds rounded products, and can do no better.
    """

    lanes: int
    registers: int
    products: float
    latency: int
    loads: float
    broadcasts: bool
    vmla: bool = False


# Agner Fog's tables (Zen 4, Skylake and older); Arm's optimisation guides and, for the Cortex-A9,
# its NEON unit's manual: 64 bits wide, so that a register of 128 takes two cycles.
CORES: Mapping[str, Core] = MappingProxyType(
    {
        "x86-64-v2": Core(4, 16, 1.0, 8, 2.0, broadcasts=True),
        "x86-64-v3": Core(8, 16, 2.0, 4, 2.0, broadcasts=True),
        "x86-64-v4": Core(16, 32, 1.0, 4, 2.0, broadcasts=True),
        "x86-64-v4-vnni": Core(16, 32, 1.0, 4, 2.0, broadcasts=True),
        "aarch64": Core(4, 32, 1.0, 7, 1.0, broadcasts=False),
        "aarch64-dotprod": Core(4, 32, 2.0, 4, 2.0, broadcasts=False),
        "cortex-a9": Core(4, 16, 0.5, 9, 0.5, broadcasts=False, vmla=True),
        "cortex-a53": Core(4, 32, 1.0, 8, 0.5, broadcasts=False),
        "cortex-a72": Core(4, 32, 1.0, 7, 1.0, broadcasts=False),
        "cortex-a76": Core(4, 32, 2.0, 4, 2.0, broadcasts=False),
    }
)

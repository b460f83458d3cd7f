"""The ARM core beside a VTA, and what a convolution between two VTA programs would take there.

The model errs in the core's favour (docs/predictor.md, "The ARM core beside a VTA"): a kernel as
good as hand-written NEON that never waits, and no call of a function costs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

LANES = 16
"""Outputs that a NEON kernel computes side by side: one load of int8."""

PRODUCT_CYCLES = 6.0
"""Of LANES outputs and one product of each: 2 vmovl.s8 and 4 vmlal.s16, by llvm-mca."""

OUTPUT_CYCLES = 15.0
"""Of LANES outputs: 4 each of bias, shift and vqmovn.s32, 2 vqmovn.s16 and a vmax, by llvm-mca."""

BYTE_CYCLES = 3.0
"""Of a byte from or to VTA's blocks: a load and a store (`native/src/layout.cc`), and its share of
the 25 cycles or more in which 32 bytes come from the second-level cache."""


@dataclass(frozen=True, slots=True)
class ArmCore:
    """A core with a NEON unit that issues one instruction a cycle."""

    name: str
    clock_mhz: float

    def convolution_ms(self, inputs: int, outputs: int, products: int) -> float:
        """Return the time of a convolution whose inputs and outputs are VTA's.

        Parameters
        ----------
        inputs, outputs : values in all.
        products : that an output sums up.
        """
        kernel = outputs / LANES * (products * PRODUCT_CYCLES + OUTPUT_CYCLES)
        layout = (inputs + outputs) * BYTE_CYCLES
        return (kernel + layout) / (1e3 * self.clock_mhz)


ARM_CORES: Mapping[str, ArmCore] = MappingProxyType(
    {
        "pynq": ArmCore("Cortex-A9", 650),  # PYNQ-Z1 reference manual
        "ultra96": ArmCore("Cortex-A53", 1500),  # Zynq UltraScale+, fastest speed grade
        "zcu104": ArmCore("Cortex-A53", 1500),
    }
)
"""By the family of a VTA config's board; others have none."""

"""What instructions cost: the calibrated constants of vta.md "Time"."""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.vta.config import VtaConfig


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles at the accelerator's clock.

    Fitted on ten ResNet-18 convolutions measured on a PYNQ (64-bit bus); a wider bus is
    modelled as moving proportionally more bytes a cycle.
    """

    gemm_uop: float = 1.0
    alu_uop: float = 2.0
    bytes_per_cycle: float = 8.2
    weight_bytes_per_cycle: float = 3.74
    row: float = 43.5
    instruction: float = 91.5
    launch_ms: float = 0.017

    @staticmethod
    def of(config: VtaConfig) -> Timing:
        """The constants for a config's data bus."""
        wider = config.bus_bits / 64
        return Timing(
            bytes_per_cycle=8.2 * wider,
            weight_bytes_per_cycle=3.74 * wider,
        )

    def dma(self, size: float, rows: float, instructions: float, *, weight: bool = False) -> float:
        """Cycles of transfers of ``size`` bytes in ``rows`` rows."""
        rate = self.weight_bytes_per_cycle if weight else self.bytes_per_cycle
        return size / rate + rows * self.row + instructions * self.instruction

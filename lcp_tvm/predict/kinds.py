"""Kinds of devices: how fast and how large each is, and where the figures come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A model of board or machine.

    Attributes
    ----------
    clock_mhz : at which the rates hold.
    cores : as many as a task can use.
    float32_macs, int8_macs : multiply-accumulates per second on one core (or on the VTA).
    elements : elements per second that other traffic, such as pooling and additions, produces.
    extra_core : what each core beyond the first adds, as a share of the first's speed.
    overhead_ms : what every call of a function costs besides.
    memory_mb : of the device, in MiB.
    """

    name: str
    clock_mhz: float
    cores: int
    float32_macs: float
    int8_macs: float
    elements: float
    extra_core: float
    overhead_ms: float
    memory_mb: float


_RPI3 = Kind(
    name="rpi3",
    clock_mhz=1200,  # DeepThings, section V; LCP, table 4
    cores=4,  # the same
    # The calibration constant: one core with NNPACK, the mean of what DeepThings, section V-C,
    # implies (docs/predictor.md): 0.91 by MoDNN on one device, 0.89 by stealing with six sources,
    # 0.81 by stealing with reuse on one device.
    float32_macs=0.87e9,
    int8_macs=1.3e9,  # estimate: a Cortex-A53 has no dot product; int8 saves memory traffic
    elements=2e8,  # estimate: 8 bytes read and written each, of 1.6 GB/s that a core gets
    # LCP, figure 12: VGG16 (15.5 GMAC) in 9.4 s with TensorFlow is 1.9 times our single core.
    extra_core=0.3,
    overhead_ms=1.0,  # estimate
    memory_mb=1024,  # DeepThings, section V; LCP, table 4
)

_RPI4 = Kind(
    name="rpi4",
    clock_mhz=1500,  # Broadcom BCM2711
    cores=4,
    float32_macs=2.6e9,  # estimate: a Cortex-A72 does about 3 times as much as the A53
    int8_macs=3.9e9,  # estimate, as the rpi3
    elements=6e8,  # estimate, likewise
    extra_core=0.5,  # estimate: LPDDR4 feeds more cores than LPDDR2
    overhead_ms=0.5,  # estimate
    memory_mb=4096,  # the board of 4 GB
)

_PYNQ_Z1 = Kind(
    name="pynq_z1",
    clock_mhz=100,  # of the VTA in the published bitstreams
    cores=1,  # one VTA, and the ARM core that drives it
    float32_macs=0.3e9,  # estimate: a Cortex-A9 at 650 MHz with NEON
    # 25.6 GMAC/s of the array x 0.683: ResNet-18 when it took 103.7 ms, simulated; now 94.2.
    int8_macs=17.5e9,
    elements=5e7,  # estimate: DDR3 behind the A9
    extra_core=0.0,
    overhead_ms=0.1,  # 0.017 ms a launch (simulator's calibration); the call itself: estimate
    memory_mb=512,  # the board
)

_T2_MICRO = Kind(
    name="t2.micro",
    clock_mhz=2400,  # estimate: the instances run on Xeons of 2.4 to 3.3 GHz
    cores=1,  # LCP, table 4
    float32_macs=10e9,  # estimate: half a core with AVX2 (a vCPU is a hyperthread)
    int8_macs=15e9,  # estimate
    elements=1e9,  # estimate
    extra_core=0.0,
    overhead_ms=0.1,  # estimate
    memory_mb=1024,  # LCP, table 4
)

_X86 = Kind(
    name="x86",
    clock_mhz=3000,  # estimate
    cores=8,  # estimate
    float32_macs=47e9,  # measured: the 13.0 GMAC above in 0.25 to 0.30 s, onnxruntime, one thread
    int8_macs=90e9,  # estimate: with AVX-512 VNNI
    elements=2e9,  # estimate
    extra_core=0.7,  # estimate
    overhead_ms=0.05,  # estimate
    memory_mb=8192,  # estimate
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (_RPI3, _RPI4, _PYNQ_Z1, _T2_MICRO, _X86)}

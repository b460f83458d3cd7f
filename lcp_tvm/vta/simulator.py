"""The C++ simulator and the ``vta`` runtime module, with this project's errors and types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt
import tvm_ffi

from lcp_tvm import native
from lcp_tvm.errors import ConfigError, LcpError, PackageError, SimulationError, WorkerError
from lcp_tvm.vta.config import VtaConfig

# The tags of native/src/fail.h and native/worker/fail_node.h.
_TAGS: Mapping[str, type[LcpError]] = MappingProxyType(
    {
        "[vta-config] ": ConfigError,
        "[vta-program] ": PackageError,
        "[vta-sim] ": SimulationError,
        "[vta-board] ": WorkerError,
        "[lcp-node] ": WorkerError,
    }
)


@dataclass(frozen=True, slots=True)
class LayerStats:
    """What a range of instructions costs.

    ``cycles`` runs from the completion of the previous range to the completion of this one;
    ``units`` are busy cycles of load, compute and store; ``bytes`` and ``rows`` are DMA traffic by
    memory, without padding; ``instructions`` counts by opcode.
    """

    cycles: float
    units: Mapping[str, float]
    instructions: Mapping[str, int]
    gemm_uops: int
    alu_uops: int
    bytes: Mapping[str, int]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stats(LayerStats):
    """What a program costs: ``cycles`` from the launch to the last completion, and by layer.

    ``ms`` is at the config's clock and includes the launch.
    """

    ms: float
    layers: tuple[LayerStats, ...]


def simulate(
    config: VtaConfig,
    dram: npt.NDArray[np.uint8],
    insn_addr: int,
    insn_count: int,
    *,
    mode: Literal["pynq", "chisel"] = "pynq",
    hazard: Literal["error", "stale"] = "error",
    layers: Sequence[tuple[int, int]] = (),
) -> Stats:
    """Execute an instruction stream on a flat DRAM image.

    Parameters
    ----------
    config
        The hardware; its hazard distance is the one that counts.
    dram
        uint8 [N], contiguous and writable, address 0 = byte 0. Changed in place.
    insn_addr
        Byte address of the first instruction, a multiple of 16.
    insn_count
        Instructions; the last is FINISH.
    mode
        "pynq": the Xilinx design. "chisel": has MUL and ACC_8BIT, no accumulator hazard.
    hazard
        What an accumulator hazard does: an error, or computing with the stale value.
    layers
        Ranges [first, count] of instructions to be counted on their own.

    Raises
    ------
    SimulationError
        The stream breaks a rule of the hardware; names the instruction.
    ConfigError
        The config or an argument is wrong.
    """
    native.load()
    if dram.dtype != np.uint8 or dram.ndim != 1 or not dram.flags.c_contiguous:
        raise ConfigError(
            f"the DRAM image is {dram.dtype} of shape {dram.shape}; "
            "it must be a contiguous one-dimensional uint8 array"
        )
    if not dram.flags.writeable:
        raise ConfigError("the DRAM image is read-only; pass a copy")
    options = {
        "mode": mode,
        "hazard": hazard,
        "hazard_distance": config.hazard_distance,
        "layers": [list(layer) for layer in layers],
    }
    try:
        text = tvm_ffi.get_global_func("lcp_tvm.vta.Simulate")(
            config.to_json(),
            tvm_ffi.from_dlpack(dram),
            insn_addr,
            insn_count,
            json.dumps(options),
        )
    except RuntimeError as error:
        raise_native(error)
    return parse_stats(text)


def parse_stats(text: str) -> Stats:
    """The JSON of ``lcp_tvm.vta.Simulate`` or a module's ``lcp_tvm.stats``."""
    values = json.loads(text)
    return Stats(
        **_sums(values),
        ms=float(values["ms"]),
        layers=tuple(LayerStats(**_sums(layer)) for layer in values["layers"]),
    )


def load_program_bytes(data: bytes) -> Any:
    """Load the bytes of a ``net.vta`` file: a tvm_ffi Module with the programs as functions.

    Raises
    ------
    PackageError
        The bytes are not a program, or corrupt.
    ConfigError
        The program is for another board than the one this process was set up as.
    """
    native.load()
    try:
        return tvm_ffi.get_global_func("ffi.Module.load_from_bytes.vta")(data)
    except RuntimeError as error:
        raise_native(error)


def set_board(config: VtaConfig) -> None:
    """Declare that this process is a board with `config`: other programs are refused on load."""
    native.load()
    tvm_ffi.get_global_func("lcp_tvm.vta.SetBoard")(config.to_json())


def raise_native(error: RuntimeError) -> NoReturn:
    """Raise a native library's error as the class its tag stands for; others as they are."""
    ours = native_error(str(error))
    if ours is None:
        raise error
    raise ours from error


def native_error(text: str) -> LcpError | None:
    """What a native library's error text stands for, wherever it travelled; None for others'."""
    for tag, kind in _TAGS.items():
        place = text.find(tag)
        if place >= 0:
            return kind(text[place + len(tag) :].strip())
    return None


def _sums(values: Mapping[str, Any]) -> dict[str, Any]:
    names = ("cycles", "units", "instructions", "gemm_uops", "alu_uops", "bytes", "rows")
    return {name: values[name] for name in names}

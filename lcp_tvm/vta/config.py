"""VTA configurations: upstream's JSON keys, checked, and the sizes that follow from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from lcp_tvm.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Family:
    """What a board family adds to the parameters of the design."""

    clock_mhz: int
    bus_bits: int  # data width of an AXI port


# The simulator and the DE10-Nano are modelled with the PYNQ's figures.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "pynq": Family(100, 64),
        "ultra96": Family(333, 128),
        "zcu104": Family(333, 128),
        "de10nano": Family(100, 64),
        "sim": Family(100, 64),
    }
)

MICRO_OP_BYTES = 4
INSTRUCTION_BYTES = 16

# Key, smallest and largest value. Where one value is left, the passes know no other.
_INT_KEYS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "LOG_INP_WIDTH": (3, 3),
        "LOG_WGT_WIDTH": (3, 3),
        "LOG_ACC_WIDTH": (5, 5),
        "LOG_BATCH": (0, 4),
        "LOG_BLOCK": (4, 5),
        "LOG_UOP_BUFF_SIZE": (0, 31),
        "LOG_INP_BUFF_SIZE": (0, 31),
        "LOG_WGT_BUFF_SIZE": (0, 31),
        "LOG_ACC_BUFF_SIZE": (0, 31),
    }
)
_TEXT_KEYS = ("TARGET", "HW_VER")
_OPTIONAL_KEYS = ("NAME", "HAZARD_DISTANCE")
_MAX_HAZARD_DISTANCE = 1024
_SRAM_BASE_BITS = 16  # width of sram_base in LOAD and STORE
_WORD_BITS = 64
_MICRO_OP_BITS = 32
_GEMM_FIXED_BITS = 7 + 1 + 1 + 14 + 14  # common bits, reset, the extra bit of uop_end, loop counts
_ALU_FIXED_BITS = 3 + 1 + 16  # operation, use_imm, imm


@dataclass(frozen=True, slots=True)
class VtaConfig:
    """Parameters of one build of the hardware; sizes are log2 of bits (widths) or bytes (buffers).

    Depths count elements: BATCH x BLOCK inputs, outputs or accumulators, BLOCK x BLOCK weights,
    or one micro-op.
    """

    name: str
    target: str
    hw_ver: str
    log_inp_width: int
    log_wgt_width: int
    log_acc_width: int
    log_batch: int
    log_block: int
    log_uop_buff_size: int
    log_inp_buff_size: int
    log_wgt_buff_size: int
    log_acc_buff_size: int
    hazard_distance: int = 4  # issue slots before a GEMM may read back what it wrote

    @property
    def batch(self) -> int:
        return 1 << self.log_batch

    @property
    def block(self) -> int:
        return 1 << self.log_block

    @property
    def inp_elem_bytes(self) -> int:
        return 1 << self._log_inp_elem

    @property
    def wgt_elem_bytes(self) -> int:
        return 1 << self._log_wgt_elem

    @property
    def acc_elem_bytes(self) -> int:
        return 1 << self._log_acc_elem

    @property
    def out_elem_bytes(self) -> int:
        return self.inp_elem_bytes

    @property
    def log_uop_depth(self) -> int:
        return self.log_uop_buff_size - 2

    @property
    def log_inp_depth(self) -> int:
        return self.log_inp_buff_size - self._log_inp_elem

    @property
    def log_wgt_depth(self) -> int:
        return self.log_wgt_buff_size - self._log_wgt_elem

    @property
    def log_acc_depth(self) -> int:
        return self.log_acc_buff_size - self._log_acc_elem

    @property
    def uop_depth(self) -> int:
        return 1 << self.log_uop_depth

    @property
    def inp_depth(self) -> int:
        return 1 << self.log_inp_depth

    @property
    def wgt_depth(self) -> int:
        return 1 << self.log_wgt_depth

    @property
    def acc_depth(self) -> int:
        return 1 << self.log_acc_depth

    @property
    def out_depth(self) -> int:
        return self.acc_depth

    @property
    def clock_mhz(self) -> int:
        return FAMILIES[self.target].clock_mhz

    @property
    def bus_bits(self) -> int:
        return FAMILIES[self.target].bus_bits

    @property
    def bitstream_name(self) -> str:
        """Name of the published bitstream with these parameters."""
        widths = f"i{1 << self.log_inp_width}w{1 << self.log_wgt_width}a{1 << self.log_acc_width}"
        sizes = (
            f"{self.log_uop_buff_size}_{self.log_inp_buff_size}"
            f"_{self.log_wgt_buff_size}_{self.log_acc_buff_size}"
        )
        return f"{self.batch}x{self.block}_{widths}_{sizes}.bit"

    @property
    def _log_inp_elem(self) -> int:
        return self.log_batch + self.log_block + self.log_inp_width - 3

    @property
    def _log_wgt_elem(self) -> int:
        return 2 * self.log_block + self.log_wgt_width - 3

    @property
    def _log_acc_elem(self) -> int:
        return self.log_batch + self.log_block + self.log_acc_width - 3

    def to_json(self) -> str:
        """Canonical JSON on one line: upstream's keys, NAME and HAZARD_DISTANCE, sorted."""
        values: dict[str, int | str] = {"NAME": self.name, "HAZARD_DISTANCE": self.hazard_distance}
        for key in (*_TEXT_KEYS, *_INT_KEYS):
            values[key] = getattr(self, key.lower())
        return json.dumps(values, sort_keys=True, separators=(",", ":"))


def config_names() -> tuple[str, ...]:
    """Names of the bundled configs, sorted."""
    return tuple(
        sorted(
            item.name.removesuffix(".json")
            for item in _bundled().iterdir()
            if item.name.endswith(".json")
        )
    )


def load_config(name_or_path: str | Path) -> VtaConfig:
    """Load a bundled config by its name, or a file by its path.

    Raises
    ------
    ConfigError
        There is no such config, it cannot be read, or it is wrong (see `parse_config`).
    """
    if name_or_path in config_names():
        item = _bundled() / f"{name_or_path}.json"
        return parse_config(item.read_text(encoding="utf-8"), str(name_or_path))
    path = Path(name_or_path)
    if not path.is_file():
        raise ConfigError(
            f"no VTA config '{name_or_path}': give a file, or one of {', '.join(config_names())}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"VTA config {path} cannot be read: {error}") from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> VtaConfig:
    """Check the JSON text of a config; `where` names its source in errors.

    The config's name is the key NAME, or else the file name in `where` without its suffix.

    Raises
    ------
    ConfigError
        Names the key that is unknown, missing, of a wrong type or out of range, or the buffer
        whose indices do not fit into the instruction or micro-op fields.
    """
    try:
        values = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"VTA config {where} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"VTA config {where} is not a JSON object of keys and values")
    known = (*_TEXT_KEYS, *_INT_KEYS, *_OPTIONAL_KEYS)
    for key in values:
        if key not in known:
            _refuse(where, key, "is unknown", f"known keys are {', '.join(known)}")
    for key in (*_TEXT_KEYS, *_INT_KEYS):
        if key not in values:
            _refuse(where, key, "is missing", "every upstream key must be given")
    name = _text({"NAME": Path(where).stem, **values}, "NAME", where)
    target = _text(values, "TARGET", where)
    if target not in FAMILIES:
        _refuse(where, "TARGET", f"is '{target}'", f"allowed are {', '.join(FAMILIES)}")
    integers = {
        key.lower(): _integer(values, key, low, high, where)
        for key, (low, high) in _INT_KEYS.items()
    }
    hazard = _integer(
        {"HAZARD_DISTANCE": 4, **values}, "HAZARD_DISTANCE", 0, _MAX_HAZARD_DISTANCE, where
    )
    config = VtaConfig(
        name=name,
        target=target,
        hw_ver=_text(values, "HW_VER", where),
        hazard_distance=hazard,
        **integers,
    )
    _check_fields(config, where)
    return config


def _check_fields(config: VtaConfig, where: str) -> None:
    """Every index must fit its field, and the fields their words."""
    depths = {
        "LOG_UOP_BUFF_SIZE": config.log_uop_depth,
        "LOG_INP_BUFF_SIZE": config.log_inp_depth,
        "LOG_WGT_BUFF_SIZE": config.log_wgt_depth,
        "LOG_ACC_BUFF_SIZE": config.log_acc_depth,
    }
    for key, log_depth in depths.items():
        size = getattr(config, key.lower())
        if not 1 <= log_depth <= _SRAM_BASE_BITS:
            low = size - log_depth + 1
            _refuse(
                where,
                key,
                f"is {size}",
                f"allowed is {low}..{low - 1 + _SRAM_BASE_BITS}: 2 elements or more, and their "
                f"indices must fit the {_SRAM_BASE_BITS}-bit sram_base",
            )
    if config.log_inp_depth != config.log_acc_depth:
        wanted = config.log_acc_buff_size + config.log_inp_depth - config.log_acc_depth
        _refuse(
            where,
            "LOG_ACC_BUFF_SIZE",
            f"is {config.log_acc_buff_size}",
            f"allowed is {wanted} with LOG_INP_BUFF_SIZE {config.log_inp_buff_size}: a "
            "micro-op's src indexes both buffers, so their depths must be equal",
        )
    widest = 2 * config.log_uop_depth + _GEMM_FIXED_BITS
    if widest > _WORD_BITS:
        _refuse(
            where,
            "LOG_UOP_BUFF_SIZE",
            f"is {config.log_uop_buff_size}",
            f"allowed is at most {2 + (_WORD_BITS - _GEMM_FIXED_BITS) // 2}: the first word "
            f"of GEMM would need {widest} of {_WORD_BITS} bits",
        )
    alu = 2 * config.log_acc_depth + 2 * config.log_acc_depth + _ALU_FIXED_BITS
    if alu > _WORD_BITS:
        _refuse(
            where,
            "LOG_ACC_BUFF_SIZE",
            f"is {config.log_acc_buff_size}",
            f"the second word of ALU would need {alu} of {_WORD_BITS} bits; make it smaller",
        )
    micro_op = config.log_acc_depth + config.log_inp_depth + config.log_wgt_depth
    if micro_op > _MICRO_OP_BITS:
        _refuse(
            where,
            "LOG_WGT_BUFF_SIZE",
            f"is {config.log_wgt_buff_size}",
            f"allowed is at most {config.log_wgt_buff_size - micro_op + _MICRO_OP_BITS}: a "
            f"micro-op's dst, src and wgt would need {micro_op} of {_MICRO_OP_BITS} bits",
        )


def _bundled() -> Traversable:
    return resources.files("lcp_tvm") / "vta_configs"


def _unique(pairs: list[tuple[str, object]], where: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            _refuse(where, key, "is given twice", "give it once")
        values[key] = value
    return values


def _text(values: Mapping[str, object], key: str, where: str) -> str:
    value = values[key]
    if not isinstance(value, str) or not value:
        _refuse(where, key, f"is {value!r}", "allowed is text in quotes")
    return value


def _integer(values: Mapping[str, object], key: str, low: int, high: int, where: str) -> int:
    value = values[key]
    allowed = str(low) if low == high else f"{low}..{high}"
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(where, key, f"is {value!r}", f"allowed is an integer, {allowed}")
    if not low <= value <= high:
        _refuse(where, key, f"is {value}", f"allowed is {allowed}")
    return value


def _refuse(where: str, key: str, found: str, allowed: str) -> NoReturn:
    raise ConfigError(f"VTA config {where}: key '{key}' {found}; {allowed}")

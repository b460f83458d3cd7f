"""VTA programs as plain files, so that any other VTA simulator can replay them.

    DIR/program.json     where everything is: instructions, buffers, inputs and outputs
    DIR/program.txt      the disassembly
    DIR/dram.bin         flat little-endian DRAM before the run, byte 0 = address 0
    DIR/dram.after.bin   the same after the run, when there was an input

Several programs get a folder each, ``DIR/vta_0`` and so on. Addresses are physical as a board
sees them whose base registers are all 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lcp_tvm.atomic_file import atomic_file
from lcp_tvm.errors import ConfigError, InputError, PackageError
from lcp_tvm.package import Package
from lcp_tvm.vta.config import INSTRUCTION_BYTES, VtaConfig, parse_config
from lcp_tvm.vta.container import parse_programs
from lcp_tvm.vta.isa import decode_stream, disassemble
from lcp_tvm.vta.layer import plane_of

Array = npt.NDArray[Any]

_BEFORE = (
    "DRAM before the run: byte i of the file is the byte at address i, numbers are little-endian"
)
_WITH_INPUT = f"{_BEFORE}; the input of the run is in its buffers already"
_AFTER = "DRAM after the run of dram.bin"
_LAYOUT = (
    "activations are int8 [ceil(C / BLOCK)][ceil(N / BATCH)][H][W][BATCH][BLOCK], absent channels "
    "zero"
)


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was written for one program."""

    symbol: str
    folder: Path
    files: tuple[str, ...]
    instructions: int
    dram_bytes: int


def dump_programs(package: Package, folder: Path, input_file: Path | None) -> tuple[Dumped, ...]:
    """Write every VTA program of a package; with an input also the DRAM after its run.

    Parameters
    ----------
    folder : made if missing; files of the same names are replaced.
    input_file : a picture, or ``.npy`` with float32 ``[N, C, H, W]`` (the network's input) or
        int8 ``[N, C, H, W]`` (the input of the only program, whose CPU parts are then skipped).

    Raises
    ------
    PackageError
        The package has no VTA program, or cannot run on this machine.
    InputError
        The input cannot be used, or the folder not written.
    """
    programs = _programs(package)
    if not programs:
        raise PackageError(
            f"{package.path}: nothing of this network runs on VTA, so there is nothing to dump; "
            f"it was compiled for {package.manifest.target}"
        )
    after = None if input_file is None else _run(package, programs, input_file)
    dumped = []
    for program in programs:
        header, symbol = program.header, program.symbol
        place = folder / symbol if len(programs) > 1 else folder
        before = np.zeros(header["dram_size"], np.uint8)
        before[: len(program.image)] = np.frombuffer(program.image, np.uint8)
        files = {"program.txt": "\n".join(_listing(header, before, program.config)).encode()}
        if after is not None:
            _copy_inputs(header, before, after[symbol], program.config)
            files["dram.after.bin"] = after[symbol].tobytes()
        files["dram.bin"] = before.tobytes()
        files["program.json"] = _description(program, after is not None).encode()
        _write(place, files)
        sizes = header["insn_count"], header["dram_size"]
        dumped.append(Dumped(symbol, place, tuple(sorted(files)), *sizes))
    return tuple(dumped)


@dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """A program of a package; ``module`` is the name of the one that has it."""

    module: str
    header: Mapping[str, Any]
    image: bytes
    config: VtaConfig
    config_json: Mapping[str, Any]

    @property
    def symbol(self) -> str:
        return str(self.header["symbol"])


def _programs(package: Package) -> list[_Program]:
    """Read all programs; of one that is for several targets, the first's."""
    found: dict[str, _Program] = {}
    for name in package.manifest.modules:
        data = package.vta(name)
        if data is None:
            continue
        header, images = parse_programs(data)
        try:
            config = parse_config(json.dumps(header["config"]), f"{package.path}: {name}.vta")
        except ConfigError as error:
            raise PackageError(f"{error}; compile the network again") from error
        for program, image in zip(header["programs"], images, strict=True):
            made = _Program(name, program, image, config, header["config"])
            found.setdefault(made.symbol, made)
    return list(found.values())


def _description(program: _Program, has_run: bool) -> str:
    keys = ("dram_size", "insn_addr", "insn_count", "inputs", "outputs", "buffers", "layers")
    files = {"dram.bin": _WITH_INPUT if has_run else _BEFORE}
    if has_run:
        files["dram.after.bin"] = _AFTER
    values = {
        "program": program.symbol,
        "config": program.config_json,
        "files": files,
        "layout": _LAYOUT,
        **{key: program.header[key] for key in keys},
    }
    return json.dumps(values, indent=1) + "\n"


def _listing(program: Mapping[str, Any], dram: Array, config: VtaConfig) -> Iterator[str]:
    """Instructions with number and address, under their layers' names."""
    start = program["insn_addr"]
    code = dram[start : start + program["insn_count"] * INSTRUCTION_BYTES].tobytes()
    headings: dict[int, list[str]] = {}
    for layer in program["layers"]:
        heading = f"# {layer['name']}: {layer['kind']}, {layer['count']} instructions"
        headings.setdefault(layer["first"], []).append(heading)
    try:
        instructions = decode_stream(code, config)
    except ValueError as error:
        raise PackageError(
            f"program {program['symbol']}: {error}; compile the network again"
        ) from error
    for number, instruction in enumerate(instructions):
        yield from headings.get(number, ())
        address = start + number * INSTRUCTION_BYTES
        yield f"{number:6} {address:#010x}  {disassemble(instruction)}"
    yield ""


def _copy_inputs(
    program: Mapping[str, Any], before: Array, after: Array, config: VtaConfig
) -> None:
    """Put the packed inputs of a finished run into the image; a program keeps its inputs."""
    for tensor in program["inputs"]:
        elements = plane_of(tuple(tensor["shape"])).in_elements(config)
        size = elements.size * config.inp_elem_bytes
        place = slice(tensor["addr"], tensor["addr"] + size)
        before[place] = after[place]


def _run(package: Package, programs: Sequence[_Program], path: Path) -> dict[str, Array]:
    """Run on the simulator; DRAM of every program afterwards."""
    x = _load_input(package, path)
    if x.dtype == np.int8:
        return _run_program(package, programs, x, path)
    from lcp_tvm.executor import check_machine, load_local

    check_machine(package)
    plan = package.plan()
    first = dict.fromkeys(program.module for program in programs)
    others = (name for name in package.manifest.modules if name not in first)
    executor = load_local(package.code((*others, *reversed(first))))  # of two, the last counts
    for fallback in (True, False):  # together they run every function
        executor.run(plan, x, fallback=fallback)
    return {
        program.symbol: np.frombuffer(executor.dram(program.symbol), np.uint8)
        for program in programs
    }


def _run_program(
    package: Package, programs: Sequence[_Program], x: Array, path: Path
) -> dict[str, Array]:
    """Run the only program on its own int8 input."""
    import tvm_ffi

    from lcp_tvm.vta.simulator import load_program_bytes, raise_native

    if len(programs) != 1 or len(programs[0].header["inputs"]) != 1:
        raise InputError(
            f"{path}: int8 goes into a single VTA program with one input, {package.path} has "
            f"{len(programs)} programs; give the network's own input or a picture"
        )
    program = programs[0]
    shape = tuple(program.header["inputs"][0]["shape"])
    if x.shape != shape:
        raise InputError(f"{path}: found int8 {list(x.shape)}, the program takes {list(shape)}")
    data = package.vta(program.module)
    assert data is not None
    module = load_program_bytes(data)
    outputs = [np.zeros(tensor["shape"], np.int8) for tensor in program.header["outputs"]]
    try:
        module[program.symbol](*map(tvm_ffi.from_dlpack, (x, *outputs)))
    except RuntimeError as error:
        raise_native(error)
    memory = bytes(module["lcp_tvm.dram"](program.symbol))
    return {program.symbol: np.frombuffer(memory, np.uint8)}


def _load_input(package: Package, path: Path) -> Array:
    plan = package.plan()
    wanted = plan.tensors[plan.inputs[0]].dtype
    if path.suffix != ".npy":
        from lcp_tvm.pictures import load_input

        return np.repeat(load_input(path, package.preprocess, wanted), plan.batch, axis=0)
    try:
        with path.open("rb") as stream:
            x = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not an .npy that can be read ({error})") from error
    if x.dtype == np.int8:
        return np.array(x, order="C")
    shape = package.manifest.input_shape
    allowed = (np.float32, np.float64) if wanted == "float32" else (np.dtype(wanted),)
    if x.dtype not in allowed or x.shape != shape:
        raise InputError(
            f"{path}: found {x.dtype} {list(x.shape)}, the network takes {wanted} {list(shape)} "
            "(or int8 for the VTA program alone)"
        )
    return np.ascontiguousarray(x, wanted)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror or error})") from error
    for name, data in files.items():
        with atomic_file(folder / name) as stream:
            stream.write(data)

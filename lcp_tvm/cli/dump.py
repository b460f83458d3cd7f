"""``lcp-tvm dump``: VTA programs as plain files for other simulators."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lcp_tvm.cli.options import FILE, debug_option, json_option, package_argument
from lcp_tvm.cli.output import print_json


@click.command("dump")
@package_argument
@click.argument("folder", metavar="DIR", type=FILE)
@click.option(
    "--input",
    "input_file",
    metavar="FILE",
    type=FILE,
    help="Also run this input and write the memory afterwards: a picture, or an .npy with the "
    "network's float32 input or the program's int8 input.",
)
@json_option
@debug_option
def dump_command(package: Path, folder: Path, input_file: Path | None, as_json: bool) -> None:
    """Write VTA programs as plain files.

    DIR gets program.json (addresses of instructions and buffers), program.txt (the disassembly)
    and dram.bin (memory before the run, byte 0 = address 0, little-endian); with --input also
    dram.after.bin. Several programs get a folder each.

    \b
    Examples:
      lcp-tvm dump net.lcp out
      lcp-tvm dump net.lcp out --input cat.jpg
    """
    from lcp_tvm.dump import dump_programs
    from lcp_tvm.package import read_package

    dumped = dump_programs(read_package(package), folder, input_file)
    if as_json:
        print_json([asdict(one) | {"folder": str(one.folder)} for one in dumped])
        return
    for one in dumped:
        click.echo(
            f"{one.symbol}: {one.instructions} instructions, {one.dram_bytes} bytes of memory; "
            f"{', '.join(one.files)} in {one.folder}"
        )

"""The TVM plugin: `RunCodegen` hands over ``Codegen="vta"`` functions and gets a module back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

from lcp_tvm.tunings import NO_TUNINGS, Tunings
from lcp_tvm.vta.config import VtaConfig, parse_config
from lcp_tvm.vta.container import pack_programs
from lcp_tvm.vta.program import Program, build_program
from lcp_tvm.vta.read_graph import read_graph
from lcp_tvm.vta.simulator import load_program_bytes
from lcp_tvm.vta.tunings import vta_tunings


def compile_functions(
    functions: Sequence[relax.Function], config: VtaConfig, tunings: Tunings = NO_TUNINGS
) -> bytes:
    """Compile partitioned functions to the bytes of one ``.vta`` file."""
    tilings = {shape: tuning.tiling for shape, tuning in vta_tunings(tunings, config).items()}
    programs: list[Program] = []
    for function in functions:
        graph = read_graph(function, str(function.attrs["global_symbol"]))
        programs.append(build_program(graph, config, tilings))
    return pack_programs(
        config.to_json(),
        [program.header for program in programs],
        [program.image for program in programs],
    )


def register_codegen() -> None:
    """Make `RunCodegen({"vta": {"config": json}})` compile ``Codegen="vta"`` functions.

    Beside the config there may be ``"tunings"``, the text of a database of tilings.
    """
    tvm.register_global_func("relax.ext.vta", _codegen, override=True)


def _codegen(
    functions: Sequence[relax.Function], options: Mapping[str, Any], const_names: object
) -> list[tvm.runtime.Module]:
    config = parse_config(str(options["config"]), "RunCodegen options")
    tunings = Tunings(str(options.get("tunings", "")))
    return [load_program_bytes(compile_functions(functions, config, tunings))]

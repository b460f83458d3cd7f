"""The script of examples/capella, as a module."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "examples" / "capella" / "write_networks.py"


def script() -> Any:
    spec = spec_from_file_location("write_networks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

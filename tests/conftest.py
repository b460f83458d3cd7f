"""What all tests share: how hypothesis behaves, and one real package."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.example import CALIBRATION, MODEL

# Wall time says nothing on a shared machine; a failure prints how to reproduce it.
settings.register_profile(
    "lcp-tvm", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("lcp-tvm")


@pytest.fixture(scope="session")
def fashion_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundled network compiled for vta:pynq_z1."""
    from lcp_tvm.cli.compile import compile_file

    path = tmp_path_factory.mktemp("fashion") / "fashion.lcp"
    compile_file(MODEL, path, "vta:pynq_z1", calibrate=CALIBRATION)
    return path

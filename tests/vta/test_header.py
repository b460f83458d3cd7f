"""The C++ header is what the instruction table says."""

import pytest

from lcp_tvm.vta.header import HEADER_PATH, header


@pytest.mark.skipif(not HEADER_PATH.exists(), reason="installed without the C++ sources")
def test_the_header_is_not_stale() -> None:
    assert HEADER_PATH.read_text(encoding="utf-8") == header(), (
        "run `python -m lcp_tvm.vta.header` and commit native/include/lcp_tvm/isa.h"
    )

"""Hypothesis strategies for any instruction and micro-op that a config can encode."""

from typing import Any

from hypothesis import strategies as st

from lcp_tvm.vta.config import VtaConfig
from lcp_tvm.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, MicroOp, Store


def unsigned(bits: int) -> st.SearchStrategy[int]:
    """Any number of so many bits, the limits often."""
    limit = (1 << bits) - 1
    return st.sampled_from((0, 1, limit)) | st.integers(0, limit)


def signed(bits: int) -> st.SearchStrategy[int]:
    """Any two's complement number of so many bits, the limits often."""
    limit = 1 << (bits - 1)
    return st.sampled_from((-limit, -1, 0, limit - 1)) | st.integers(-limit, limit - 1)


def instructions(config: VtaConfig) -> st.SearchStrategy[Instruction]:
    """Any instruction whose fields fit, sensible or not."""
    flag = st.booleans()
    tokens: dict[str, Any] = {
        "pop_prev": flag,
        "pop_next": flag,
        "push_prev": flag,
        "push_next": flag,
    }
    rows: dict[str, Any] = {
        "memory": st.sampled_from(Memory),
        "sram_base": unsigned(16),
        "dram_base": unsigned(32),
        "y_size": unsigned(16),
        "x_size": unsigned(16),
        "x_stride": unsigned(16),
    }
    pads: dict[str, Any] = {
        name: unsigned(4) for name in ("y_pad_0", "y_pad_1", "x_pad_0", "x_pad_1")
    }
    uop, acc = config.uop_depth.bit_length() - 1, config.acc_depth.bit_length() - 1
    inp, wgt = config.inp_depth.bit_length() - 1, config.wgt_depth.bit_length() - 1
    loops: dict[str, Any] = {
        "uop_bgn": unsigned(uop),
        "uop_end": unsigned(uop + 1),
        "iter_out": unsigned(14),
        "iter_in": unsigned(14),
        "dst_out": unsigned(acc),
        "dst_in": unsigned(acc),
        "src_out": unsigned(inp),
        "src_in": unsigned(inp),
    }
    return st.one_of(
        st.builds(Load, **rows, **pads, **tokens),
        st.builds(Store, **rows, **tokens),
        st.builds(Gemm, reset=flag, **loops, wgt_out=unsigned(wgt), wgt_in=unsigned(wgt), **tokens),
        st.builds(Alu, op=st.sampled_from(AluOp), **loops, use_imm=flag, imm=signed(16), **tokens),
        st.builds(Finish, **tokens),
    )


def micro_ops(config: VtaConfig) -> st.SearchStrategy[MicroOp]:
    """Any micro-op whose indices lie in their buffers."""
    return st.builds(
        MicroOp,
        st.integers(0, config.acc_depth - 1),
        st.integers(0, config.inp_depth - 1),
        st.integers(0, config.wgt_depth - 1),
    )

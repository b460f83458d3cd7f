"""Configs for tests: the bundled ones, and variants with other arrays and depths."""

from dataclasses import replace

from hypothesis import strategies as st

from lcp_tvm.vta.config import VtaConfig, config_names, load_config

PYNQ = load_config("pynq_z1")

# The same with no ARM core beside it, which small group convolutions would go to.
NO_ARM = replace(PYNQ, name="no_arm", target="sim")

# 32 x 32 array: elements are larger, so the buffers hold fewer of them.
WIDE = replace(NO_ARM, name="wide", log_block=5)

# Four rows in an element, a frame each.
ROWS = replace(NO_ARM, name="rows", log_batch=2)

ROWS_WIDE = replace(ROWS, name="rows_wide", log_block=5)

# Buffers of 2^4 elements or so: streams reach every limit quickly.
SMALL = replace(
    PYNQ,
    name="small",
    log_uop_buff_size=7,
    log_inp_buff_size=8,
    log_wgt_buff_size=11,
    log_acc_buff_size=10,
)

SMALL_WIDE = replace(
    SMALL,
    name="small_wide",
    log_block=5,
    log_inp_buff_size=9,
    log_wgt_buff_size=13,
    log_acc_buff_size=11,
)

SMALL_ROWS = replace(
    SMALL, name="small_rows", log_batch=2, log_inp_buff_size=10, log_acc_buff_size=12
)

BUNDLED = tuple(load_config(name) for name in config_names())

ALL = (*BUNDLED, WIDE, ROWS, ROWS_WIDE, SMALL, SMALL_WIDE, SMALL_ROWS)


def configs() -> st.SearchStrategy[VtaConfig]:
    """Any of the configs above."""
    return st.sampled_from(ALL)

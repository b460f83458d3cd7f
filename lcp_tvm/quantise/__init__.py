"""int8 with power-of-two scales: from a float network and pictures to QDQ Relax."""

from lcp_tvm.quantise.flow import Quantised, quantise
from lcp_tvm.quantise.noise import LayerNoise
from lcp_tvm.quantise.qdq import check_qdq, is_qdq

__all__ = ["LayerNoise", "Quantised", "check_qdq", "is_qdq", "quantise"]

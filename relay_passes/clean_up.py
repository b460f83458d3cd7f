"""The passes that bring an imported network into the one form the compiler knows.

After them: one dataflow block; batch norm gone; a convolution is ``conv2d [-> add(const[1, C, 1,
1])]``, a dense layer ``matmul(x, const[K, N]) [-> add(const[N])]``; ReLU6 and Clip are ``clip``;
global average pooling is ``mean`` over [2, 3] with kept dimensions; flatten is ``reshape``.
"""

from __future__ import annotations

import tvm
from tvm import relax

from lcp_tvm.relay_passes.fold_batch_norm import fold_batch_norm
from lcp_tvm.relay_passes.fold_constant import fold_constant
from lcp_tvm.relay_passes.fold_pad import fold_pad
from lcp_tvm.relay_passes.fold_scale import fold_scale
from lcp_tvm.relay_passes.move_dequantize import move_dequantize
from lcp_tvm.relay_passes.recognise_clip import recognise_clip
from lcp_tvm.relay_passes.recognise_pad import recognise_pad
from lcp_tvm.relay_passes.recognise_pooling import recognise_pooling
from lcp_tvm.relay_passes.recognise_reshape import recognise_reshape
from lcp_tvm.relay_passes.recognise_split import recognise_split
from lcp_tvm.relay_passes.recognise_sum import recognise_sum
from lcp_tvm.relay_passes.remove_identity import remove_identity


def clean_up() -> list[tvm.transform.Pass]:
    """Return the passes in order; each leaves a module that computes the same."""
    return [
        fold_constant,  # first: the others ask whether an operand is a constant
        remove_identity,
        recognise_clip,
        recognise_pad,
        recognise_split,
        recognise_sum,
        recognise_pooling,
        recognise_reshape,  # after pooling, which makes reshapes
        fold_batch_norm,
        fold_scale,  # after batch norm, which makes factors and offsets
        fold_pad,  # after recognise_clip: a pool wants to know what is never negative
        move_dequantize,
        relax.transform.DeadCodeElimination(["main"]),  # last: drops loops no one calls now
    ]

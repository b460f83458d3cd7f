"""Which of the teacher's features each branch learns to compute.

teacher: conv 64 -> conv 128 -> fc 10           student: b0_... 64 --+
                      |                                  b1_... 64 --concat 128 -> fc 10
                its 128 channels, dealt to the branches as `split_lcp_network` dealt them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lcp_tvm.relay_passes.lcp_branches import LcpNetwork


@dataclass(frozen=True, slots=True)
class Shares:
    """Pre-final activations of the student's branches, and their counterparts in the teacher.

    Attributes
    ----------
    origin : the teacher's variable.
    outputs : per branch, the student's variable.
    kept : per branch, the channels of ``origin`` that its own stand for, in their order.
    """

    origin: str
    outputs: tuple[str, ...]
    kept: tuple[tuple[int, ...], ...]

    def narrowed(self, kept: Sequence[Sequence[int]]) -> Shares:
        """Return the shares after pruning: per branch, which of its channels are left."""
        left = zip(self.kept, kept, strict=True)
        return replace(self, kept=tuple(tuple(own[i] for i in places) for own, places in left))


def shares_of(split: LcpNetwork) -> Shares:
    """Return the shares of a fresh split, for the network that was split as the teacher."""
    return Shares(split.origin, split.outputs, split.kept)

"""How a cluster runs a plan."""

from __future__ import annotations

from dataclasses import dataclass

from lcp_tvm.errors import InputError
from lcp_tvm.plan.plan import Policy
from lcp_tvm.rpc.program import Pace

REAL_TIME = Pace()


@dataclass(frozen=True, slots=True)
class Settings:
    """How a cluster runs a plan.

    Attributes
    ----------
    policy : who runs a task; None as the plan says.
    sources : devices that frames come from, in turn; empty: the first of the frame's replica.
    in_flight : frames that run at a time in each replica of the plan; the others wait. Work
        sharing takes one at a time.
    deadline_s : a frame that takes longer fails, waiting included.
    silence_s : a node that says nothing for so long is lost.
    recovery_s : a node that is lost is taken back when it answers within this; 0 never.
    trace : whether nodes keep a timeline.
    pace : how emulated boards behave in time.
    """

    policy: Policy | None = None
    sources: tuple[int, ...] = ()
    in_flight: int = 4
    deadline_s: float = 30.0
    silence_s: float = 3.0
    recovery_s: float = 10.0
    trace: bool = False
    pace: Pace = REAL_TIME

    def check(self, devices: int) -> None:
        """See whether a cluster of so many devices can follow them.

        Raises
        ------
        InputError
            A value is out of range.
        """
        if self.in_flight < 1 or self.deadline_s <= 0 or self.silence_s <= 0:
            raise InputError("at least one frame in flight, and times above 0")
        for source in self.sources:
            if not 0 <= source < devices:
                raise InputError(f"source {source} is not a device; they are 0 to {devices - 1}")

"""Work sharing: the gateway deals out tasks, and all data passes it.

    source ---- the frame ----> gateway ---- what it reads ----> each device
    device ---- what others read ----> gateway ---- what it reads ----> each device
    device ---- results ----> gateway

The gateway hands out one message after the other, the next when the last has left. A task runs
when all that it reads is there. By DeepThings' rules there is more waiting (`lock_step`).
"""

from __future__ import annotations

from collections import deque

from lcp_tvm.plan.pieces import Reads
from lcp_tvm.plan.plan import Plan
from lcp_tvm.predict.clock import after
from lcp_tvm.predict.cluster import Cluster
from lcp_tvm.predict.flow import FlowFrame, FlowSimulation
from lcp_tvm.predict.placement import deal_out
from lcp_tvm.predict.simulation import Load
from lcp_tvm.predict.wiring import Message


class SharingSimulation(FlowSimulation):
    """The gateway shares out the work, turning to one device after the other."""

    relay = True

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        reads: Reads,
        load: Load,
        *,
        seed: int = 0,
        trace: bool = False,
    ) -> None:
        super().__init__(plan, cluster, reads, load, seed=seed, trace=trace)
        self._to_hand_out: deque[tuple[Message, FlowFrame]] = deque()

    def places(self, replica: int, source: int) -> list[int]:
        return deal_out(self.plan, self.machines, replica)

    def transmit(self, message: Message, frame: FlowFrame, source: int) -> None:
        if source != self.gateway:
            super().transmit(message, frame, source)
            return
        self._to_hand_out.append((message, frame))
        if len(self._to_hand_out) == 1:
            self._hand_out()

    def _hand_out(self) -> None:
        message, frame = self._to_hand_out[0]
        left = self.put(message, frame, self.gateway)
        after(self.env, left - self.env.now, self._left, message)

    def _left(self, _: Message) -> None:
        self._to_hand_out.popleft()
        if self._to_hand_out:
            self._hand_out()

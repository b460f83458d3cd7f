"""Every message of a frame, once tasks have machines; worked out once and used for all frames.

    frame --m--> task 0 --m--> task 2 --m--> (outputs at the gateway)
          --m--> task 1 --m-->

A message goes from a producer to a consumer on another machine and holds the regions that both
share. What a machine already has from the same producer is not sent again. With a relay,
everything between two machines, and the frame itself, passes the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lcp_tvm.plan.box import Box, contains
from lcp_tvm.plan.pieces import FRAME, Reads
from lcp_tvm.plan.plan import Plan, Region

ANYWHERE = -1
"""The machine of a task that is not settled: nothing is sent to it; its results go anywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Data on its way; within one machine it takes no time.

    Attributes
    ----------
    slots : what counts its arrival (`Wiring`).
    holder : the task that frees its memory: the last to read it.
    onward : what its receiver passes on.
    """

    source: int
    target: int
    nbytes: int
    name: str
    slots: tuple[int, ...]
    holder: int
    onward: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Wiring:
    """The messages of frames from one source, for one group of machines.

    Attributes
    ----------
    first : sent when a frame arrives.
    after : by task, sent when it has ended.
    pending : by slot, arrivals to wait for. The slots are the tasks, then the outputs, then
        the reads of tasks that need only some of them.
    parents : by slot after the outputs, the task that the read is of.
    input_bytes : of a frame; its source keeps it until it is done.
    """

    first: tuple[Message, ...]
    after: tuple[tuple[Message, ...], ...]
    pending: tuple[int, ...]
    parents: tuple[int, ...]
    input_bytes: int


@dataclass(slots=True)
class _Draft:
    """A message that still grows."""

    source: int
    target: int
    name: str
    nbytes: int = 0
    slots: dict[int, None] = field(default_factory=dict)
    holder: int = 0
    onward: list[_Draft] = field(default_factory=list)

    def finish(self) -> Message:
        onward = tuple(draft.finish() for draft in self.onward)
        slots = tuple(self.slots)
        return Message(self.source, self.target, self.nbytes, self.name, slots, self.holder, onward)


class _Sent:
    """The regions that one producer has sent to one machine."""

    def __init__(self) -> None:
        self._exact: dict[Region, _Draft] = {}
        self._by_size: dict[tuple[str, int], list[tuple[Box, _Draft]]] = {}

    def find(self, region: Region) -> _Draft | None:
        """Return the message that holds a region; only larger ones can hold more than itself."""
        draft = self._exact.get(region)
        if draft is not None:
            return draft
        for (tensor, size), sent in self._by_size.items():
            if tensor == region.tensor and size > region.size:
                for box, candidate in sent:
                    if contains(box, region.box):
                        return candidate
        return None

    def add(self, region: Region, draft: _Draft) -> None:
        self._exact[region] = draft
        self._by_size.setdefault((region.tensor, region.size), []).append((region.box, draft))


def wire(
    plan: Plan, reads: Reads, placement: Sequence[int], source: int, gateway: int, *, relay: bool
) -> Wiring:
    """Return all messages of a frame.

    Parameters
    ----------
    placement : by task, its machine or ANYWHERE.
    source : machine that the frame comes from.
    relay : whether everything passes the gateway.
    """
    return _Wirer(plan, reads, placement, source, gateway, relay).wire()


class _Wirer:
    """Drafts messages, consumer by consumer."""

    def __init__(
        self,
        plan: Plan,
        reads: Reads,
        placement: Sequence[int],
        source: int,
        gateway: int,
        relay: bool,
    ) -> None:
        self._plan = plan
        self._reads = reads
        self._places = [*placement, gateway, source]  # the last is the frame's, number -1
        self._gateway = gateway
        self._relay = relay
        self._outputs = len(plan.tasks)
        self._after: list[list[_Draft]] = [[] for _ in self._places]
        self._sent: dict[tuple[int, int], _Sent] = {}
        self._drafts: dict[tuple[int, int], _Draft] = {}
        self._collected: dict[int, tuple[_Draft, _Sent]] = {}

    def wire(self) -> Wiring:
        pending = [0] * (self._outputs + 1)
        parents: list[int] = []
        for consumer, found in enumerate((*self._reads.tasks, self._reads.outputs)):
            if self._places[consumer] == ANYWHERE:
                continue
            needs = None if consumer == self._outputs else self._plan.tasks[consumer].needs
            if needs is not None:
                pending[consumer] = needs
            for pieces in found:
                slot = consumer
                if needs is not None:
                    slot = self._outputs + 1 + len(parents)
                    parents.append(consumer)
                    pending.append(0)
                for producer, region in pieces:
                    draft = self._carrier(producer, consumer, region)
                    draft.holder = max(draft.holder, consumer)
                    if slot not in draft.slots:
                        draft.slots[slot] = None
                        pending[slot] += 1
                if needs is not None and pending[slot] == 0:
                    pending[consumer] -= 1
            if pending[consumer] <= 0:  # waits for nothing but the frame's arrival
                pending[consumer] = 1
                machine = self._places[consumer]
                self._after[FRAME].append(_Draft(machine, machine, "start", 0, {consumer: None}))
        *after, _, first = (tuple(draft.finish() for draft in drafts) for drafts in self._after)
        input_bytes = sum(self._plan.tensors[name].nbytes for name in self._plan.inputs)
        return Wiring(first, tuple(after), tuple(pending), tuple(parents), input_bytes)

    def _carrier(self, producer: int, consumer: int, region: Region) -> _Draft:
        """Return the message that brings a region, which may be one for an earlier consumer."""
        here, there = self._places[producer], self._places[consumer]
        if self._relay and (producer == FRAME or here != there):
            collect = self._collect(producer, region)
            if there == self._gateway:
                return collect
            return self._direct(producer, consumer, region, self._gateway, collect.onward)
        return self._direct(producer, consumer, region, here, self._after[producer])

    def _direct(
        self, producer: int, consumer: int, region: Region, here: int, drafts: list[_Draft]
    ) -> _Draft:
        there = self._places[consumer]
        sent = self._sent.setdefault((producer, there), _Sent())
        draft = sent.find(region)
        if draft is not None:
            return draft
        draft = self._drafts.get((producer, consumer))
        if draft is None:
            name = f"{self._name(producer)} to {self._name(consumer)}"
            draft = self._drafts[producer, consumer] = _Draft(here, there, name)
            drafts.append(draft)
        sent.add(region, draft)
        if here != there or producer != FRAME:
            draft.nbytes += self._plan.nbytes(region)
        return draft

    def _collect(self, producer: int, region: Region) -> _Draft:
        """Return the message that takes a producer's results, or the frame, to the gateway."""
        if producer not in self._collected:
            name = f"{self._name(producer)} to gateway"
            draft = _Draft(self._places[producer], self._gateway, name, holder=self._outputs)
            if producer == FRAME:
                draft.nbytes = sum(self._plan.tensors[n].nbytes for n in self._plan.inputs)
            self._collected[producer] = (draft, _Sent())
            self._after[producer].append(draft)
        draft, sent = self._collected[producer]
        if producer != FRAME and sent.find(region) is None:
            sent.add(region, draft)
            draft.nbytes += self._plan.nbytes(region)
        return draft

    def _name(self, number: int) -> str:
        if number == FRAME:
            return "frame"
        return "outputs" if number == self._outputs else self._plan.tasks[number].name

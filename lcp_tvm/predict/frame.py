"""A frame on its way through the cluster."""

from __future__ import annotations


class Frame:
    """A frame that is being computed; policies add what they must remember of it.

    Attributes
    ----------
    number : in order of arrival.
    source : machine that it comes from.
    arrived_ms : when it was there to be computed; its latency counts from then.
    """

    __slots__ = ("arrived_ms", "number", "source")

    def __init__(self, number: int, source: int, arrived_ms: float) -> None:
        self.number = number
        self.source = source
        self.arrived_ms = arrived_ms

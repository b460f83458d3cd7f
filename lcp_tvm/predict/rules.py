"""What policies leave open: by whose rules devices, tasks and the gateway of work sharing go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """How long devices and tasks wait, and for what.

    Attributes
    ----------
    poll_ms : a device that has found no work sleeps for so long (stealing); an estimate, the paper
        does not say.
    patience_ms : from when a task is first passed over until its fallback runs (stealing).
    lock_step : whether a layer begins when all of the last is collected and handed out (sharing).
    """

    poll_ms: float = 100.0
    patience_ms: float = 10_000.0
    lock_step: bool = False


OURS = Rules()
"""What workers do."""

DEEPTHINGS = Rules(patience_ms=0.0, lock_step=True)
"""Section IV-C: what has not been collected yet is computed anew; section II: bulk-synchronous."""

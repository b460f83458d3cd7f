"""What the torch forms of operators read from Relax calls, and refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.quantise.graph import op_name, shape_of


def refusal(name: str, call: relax.Call, reason: str) -> ModelError:
    return ModelError(f"cannot train {name} = {op_name(call)}: {reason}")


def require(name: str, call: relax.Call, attribute: str, allowed: tuple[str, ...]) -> None:
    """Refuse an attribute value that the torch form would silently get wrong."""
    found = str(getattr(call.attrs, attribute))
    if found not in allowed:
        allowed_text = " or ".join(value for value in allowed if value)
        raise refusal(name, call, f"{attribute} is {found}, only {allowed_text} is supported")


def ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def axis_of(name: str, call: relax.Call) -> int:
    """Return the call's axis, counted from the front, unless it is the batch."""
    rank = len(shape_of(call.args[0] if not isinstance(call.args[0], relax.Tuple) else call))
    axis = int(call.attrs.axis or 0) % rank
    if axis == 0:
        raise refusal(name, call, "it works along the batch")
    return axis


def sides_of(padding: Sequence[int]) -> tuple[int, ...]:
    """Pads of all axes' begins, then all ends, as `F.pad` takes them: last axis first."""
    half = len(padding) // 2
    return tuple(
        size for axis in reversed(range(half)) for size in (padding[axis], padding[half + axis])
    )

"""Activations that live together never overlap, and memory is reused."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.vta.memory import Lifetime, place


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Lifetime, ...]:
    count = draw(st.integers(0, 20))
    made = []
    for index in range(count):
        first = draw(st.integers(-1, 10))
        last = draw(st.integers(first, 12))
        made.append(Lifetime(f"t{index}", draw(st.integers(1, 50)), first, last))
    return tuple(made)


@given(tensors=tensors())
def test_tensors_alive_together_do_not_overlap(tensors: tuple[Lifetime, ...]) -> None:
    offsets, size = place(tensors)
    for a, b in combinations(tensors, 2):
        if a.first <= b.last and b.first <= a.last:
            assert offsets[a.name] + a.size <= offsets[b.name] or (
                offsets[b.name] + b.size <= offsets[a.name]
            )
    assert all(offsets[t.name] >= 0 and offsets[t.name] + t.size <= size for t in tensors)


def test_a_chain_needs_two_tensors() -> None:
    chain = tuple(Lifetime(f"t{i}", 10, i, i + 1) for i in range(6))
    assert place(chain)[1] == 20

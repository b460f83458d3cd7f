"""Maps that are there at the same time lie apart, in little memory."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcp_tvm.cpu.workspace import ALIGNMENT, Life, lay_out

LIVES = st.lists(
    st.builds(
        lambda begin, length, size: Life(begin, begin + length, size),
        st.integers(0, 20),
        st.integers(0, 6),
        st.integers(1, 1000),
    ),
    max_size=25,
)


def whole(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def most_at_a_time(lives: list[Life]) -> int:
    return max(
        sum(whole(life.size) for life in lives if life.begin <= step <= life.end)
        for step in range(30)
    )


@given(LIVES)
def test_maps_that_are_there_together_share_no_byte(lives: list[Life]) -> None:
    room = lay_out(lives)
    assert len(room.begins) == len(lives)
    for begin, life in zip(room.begins, lives, strict=True):
        assert begin % ALIGNMENT == 0
        assert 0 <= begin <= begin + life.size <= room.size
    for one, other in combinations(range(len(lives)), 2):
        if lives[one].begin <= lives[other].end and lives[other].begin <= lives[one].end:
            ends = [room.begins[number] + lives[number].size for number in (one, other)]
            assert ends[0] <= room.begins[other] or ends[1] <= room.begins[one]


@given(LIVES)
def test_it_is_between_the_fewest_bytes_and_all(lives: list[Life]) -> None:
    room = lay_out(lives)
    assert most_at_a_time(lives) <= room.size <= sum(whole(life.size) for life in lives)


@pytest.mark.parametrize(
    "sizes", [[1, 1, 1, 2], [2, 1, 3], [3, 1, 2, 5], [8, 4, 8, 4, 2, 4, 2, 1], [1, 2, 3, 4, 5]]
)
def test_maps_in_a_row_take_the_two_largest_neighbours(sizes: list[int]) -> None:
    """As a plain network has them: each is read by the layer that makes the next."""
    lives = [Life(step, step + 1, 1000 * size) for step, size in enumerate(sizes)]
    assert lay_out(lives).size == most_at_a_time(lives)


def test_a_map_that_is_added_later_stays() -> None:
    """As a residual block has them: the first is read by the second and the fourth."""
    lives = [Life(0, 3, 640), Life(1, 2, 640), Life(2, 3, 640), Life(3, 4, 640)]
    assert lay_out(lives).size == 3 * 640

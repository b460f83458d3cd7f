"""What `benchmarks/cpu.py` makes of times: turns, medians, ratios and means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cpu.judge.turns import (
    Budget,
    Comparison,
    beyond_macs,
    compare,
    geometric_mean,
    gflops,
    take_turns,
)


class Machine:
    """A clock that programs move; knows who ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def clock(self) -> float:
        return self.now

    def program(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes these seconds, run by run; the last ones from then on."""
        runs = iter(seconds)
        last = seconds[-1]

        def run() -> None:
            self.now += next(runs, last)
            self.ran.append(name)

        return run


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_programs_take_turns_and_the_first_round_does_not_count(machine: Machine) -> None:
    programs = [machine.program("a", 9.0, 1.0), machine.program("b", 7.0, 2.0)]
    times = take_turns(programs, machine.clock, Budget(100.0, 0.5, rounds=2))
    assert machine.ran == ["a", "b"] * 3
    assert times == ((1.0, 1.0), (2.0, 2.0))


def test_a_quick_program_runs_until_its_turn_is_over(machine: Machine) -> None:
    programs = [machine.program("slow", 4.0), machine.program("quick", 0.25)]
    slow, quick = take_turns(programs, machine.clock, Budget(100.0, 1.0, rounds=1))
    assert slow == (4.0,)
    assert quick == (0.25,)
    assert machine.ran == ["slow", "quick", "slow", *["quick"] * 4]


def test_no_round_begins_once_the_budget_is_spent(machine: Machine) -> None:
    programs = [machine.program("a", 3.0), machine.program("b", 1.0)]
    times = take_turns(programs, machine.clock, Budget(8.0, 0.5, rounds=9))
    assert times == ((3.0,), (1.0,))
    assert machine.ran == ["a", "b"] * 2


def test_the_first_round_counts_where_the_budget_has_no_second(machine: Machine) -> None:
    programs = [machine.program("a", 30.0), machine.program("b", 1.0)]
    assert take_turns(programs, machine.clock, Budget(10.0)) == ((30.0,), (1.0,))
    assert machine.ran == ["a", "b"]


def test_a_turn_is_told_by_the_median_of_its_runs(machine: Machine) -> None:
    program = machine.program("a", 50.0, 1.0, 5.0, 2.0)
    assert take_turns([program], machine.clock, Budget(1e3, 8.0, rounds=1)) == ((2.0,),)


def test_a_comparison_has_medians_of_both(machine: Machine) -> None:
    ours = machine.program("ours", 50.0, 1.0, 9.0, 2.0)
    other = machine.program("other", 50.0, 4.0, 8.0, 4.0)
    comparison = compare(ours, other, machine.clock, Budget(1e3, 0.5, rounds=3))
    assert comparison == Comparison((1.0, 9.0, 2.0), (4.0, 8.0, 4.0))
    assert (comparison.ours_s, comparison.other_s) == (2.0, 4.0)


def test_a_ratio_below_one_says_that_ours_is_faster() -> None:
    assert Comparison(ours=(0.5,), other=(1.0,)).ratio == 0.5


def test_a_ratio_does_not_see_that_a_machine_is_slow_for_some_rounds() -> None:
    assert Comparison(ours=(1.0, 3.0, 3.0), other=(2.0, 6.0, 2.0)).ratio == 0.5


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert geometric_mean([1.0, 1.0, 8.0]) == pytest.approx(2.0)


@pytest.mark.parametrize("ratios", [[], [1.0, 0.0], [-1.0]])
def test_ratios_that_have_no_geometric_mean_are_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="no geometric mean"):
        geometric_mean(ratios)


def test_a_multiply_accumulate_is_two_operations() -> None:
    assert gflops(macs=1_000_000_000, seconds=0.5) == pytest.approx(4.0)


def test_tiles_are_charged_for_what_their_redundant_macs_do_not_explain() -> None:
    assert beyond_macs(3.0, 2.0, tile_macs=150, whole_macs=100) == pytest.approx(1.0)
    assert beyond_macs(3.3, 2.0, tile_macs=150, whole_macs=100) == pytest.approx(1.1)

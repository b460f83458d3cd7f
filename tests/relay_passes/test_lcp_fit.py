"""LCP, Procedure 1: the number of branches at which one fits a device."""

from __future__ import annotations

import pytest

from lcp_tvm.errors import PlanError
from lcp_tvm.relay_passes.lcp_fit import fit_branches
from tests.tables.architectures import conv_net, lenet

LENET = lenet()
PLENTY = 1e12


def test_a_network_that_fits_is_one_branch() -> None:
    assert fit_branches(LENET, PLENTY, PLENTY) == 1


@pytest.mark.parametrize(("macs", "branches"), [(416_520, 1), (416_519, 2), (100_000, 4)])
def test_widths_are_divided_until_the_work_fits(macs: float, branches: int) -> None:
    """LeNet takes 416,520 MACs, a branch of two 133,320, a branch of four 33,230."""
    assert fit_branches(LENET, PLENTY, macs) == branches


@pytest.mark.parametrize(("kilobytes", "branches"), [(271, 1), (270, 2), (23, 4), (12, 8)])
def test_widths_are_divided_until_the_memory_fits(kilobytes: float, branches: int) -> None:
    """Parameters take 246.8, 61.2, 15.2 and 4.0 KB, activations 23.5, 13.5, 7.2 and 7.2 KB."""
    assert fit_branches(LENET, kilobytes * 1000, PLENTY) == branches


def test_quantised_numbers_take_a_quarter() -> None:
    assert fit_branches(LENET, 100e3, PLENTY) == 2
    assert fit_branches(LENET, 100e3, PLENTY, itemsize=1) == 1


def test_any_division_factor_is_viable() -> None:
    assert fit_branches(LENET, PLENTY, 80_000, division=3) == 3
    assert fit_branches(LENET, PLENTY, 30_000, division=3) == 9


def test_fattened_branches_need_more_of_them() -> None:
    net = conv_net([(64, 3, 1, 1), (64, 3, 1, 1)], [10], (3, 8, 8))
    assert fit_branches(net, PLENTY, 800_000) == 2
    assert fit_branches(net, PLENTY, 800_000, fatten=40) == 4


def test_a_device_that_not_even_single_channels_fit() -> None:
    with pytest.raises(PlanError, match=r"the narrowest take \d+ bytes and \d+ MACs, a device has"):
        fit_branches(LENET, 1000, PLENTY)


def test_a_division_by_one_never_ends() -> None:
    with pytest.raises(PlanError, match="cannot be divided by 1"):
        fit_branches(LENET, 1000, PLENTY, division=1)

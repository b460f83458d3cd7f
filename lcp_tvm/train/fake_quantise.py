"""Rounding that gradients pass: int8 and the accumulators' grid, in float."""

from __future__ import annotations

from typing import Any

import torch

LOWEST, HIGHEST = -128, 127


def fake_quantise(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the nearest numbers that int8 has with ``bits`` fraction bits, ties to even.

    A straight-through estimator: the gradient passes where ``x`` fits into int8, else it is 0.
    """
    result: torch.Tensor = _FakeQuantise.apply(x, bits)  # type: ignore[no-untyped-call]
    return result


def round_to_grid(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the nearest numbers with ``bits`` fraction bits, as of a bias; the gradient passes."""
    rounded = torch.round(x.detach().double() * 2.0**bits) * 2.0**-bits
    return x + (rounded.to(x.dtype) - x.detach())


class _FakeQuantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bits: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.bits = bits
        return x.mul(2.0**bits).round_().clamp_(LOWEST, HIGHEST).mul_(2.0**-bits)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        # The derivative of a clamp, in one pass over memory; the bounds round into int8.
        low, high = (LOWEST - 0.5) * 2.0**-ctx.bits, (HIGHEST + 0.5) * 2.0**-ctx.bits
        return torch.ops.aten.hardtanh_backward(gradient, x, low, high), None

"""A convolution or dense layer that can be trained: product, norm or none, bias."""

from __future__ import annotations

import torch
from torch import nn

from lcp_tvm.train.batch_norm import Norm
from lcp_tvm.train.fake_quantise import fake_quantise, round_to_grid
from lcp_tvm.train.operators import Function
from lcp_tvm.train.products import Product


class Layer(nn.Module):
    """``product(x, weight) -> norm -> + bias``.

    Attributes
    ----------
    weight : as the Relax operator takes it: OIHW, IOHW of a transposed convolution, [K, N] dense.
    bias : one number per output channel.
    norm : the batch norm in between, or None.
    product : what is done with the weight.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    norm: Norm | None

    def __init__(self, product: Product, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.norm = None
        self.product = product

    @property
    def inputs(self) -> int:
        """Products that are added for one output."""
        return self.weight.numel() // (self.product.groups * self.weight.shape[self.product.axis])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.norm is None:
            return self.product.compute(x, self.weight, self.bias)
        normed: torch.Tensor = self.norm(self.products(x), self.bias)
        return normed

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sums of products, before norm and bias."""
        return self.product.compute(x, self.weight, None)

    def in_relax(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias with the norm folded in."""
        weight, bias = self.weight.detach(), self.bias.detach()
        if self.norm is None:
            return weight, bias
        factor, offset = self.norm.affine()
        grouped = weight.double().reshape(self.product.groups, -1, *weight.shape[1:])
        shape = [1] * grouped.ndim
        shape[0], shape[self.product.axis + 1] = self.product.groups, -1
        scaled = (grouped * factor.reshape(shape)).flatten(0, 1)
        return scaled.float(), (bias.double() + offset).float()


class QuantisedLayer(Layer):
    """A layer that computes with what its weights and biases are rounded to.

    Attributes
    ----------
    weight_bits : fraction bits of the int8 weights.
    bias_bits : those of the grid that biases lie on, that of the products; None without one.
    """

    def __init__(
        self,
        product: Product,
        weight: torch.Tensor,
        bias: torch.Tensor,
        weight_bits: int,
        bias_bits: int | None,
    ) -> None:
        super().__init__(product, weight, bias)
        self.weight_bits = weight_bits
        self.bias_bits = bias_bits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.product.compute(x, *self._rounded())

    def in_relax(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias as they are rounded."""
        weight, bias = self._rounded()
        return weight.detach(), bias.detach()

    def _rounded(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight = fake_quantise(self.weight, self.weight_bits)
        if self.bias_bits is None:
            return weight, self.bias
        return weight, round_to_grid(self.bias, self.bias_bits)


class Slope(nn.Module):
    """A PReLU: ``max(x, 0) + weight * min(x, 0)``, one weight per channel."""

    weight: nn.Parameter

    def __init__(self, function: Function, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self._function(x, self.weight)
        return result

"""A convolution or dense layer that can be trained: product, norm or none, bias."""

from __future__ import annotations

import torch
from torch import nn

from lcp_tvm.train.batch_norm import Norm
from lcp_tvm.train.operators import Function, Product


class Layer(nn.Module):
    """``product(x, weight) -> norm -> + bias``.

    Attributes
    ----------
    weight : as the Relax operator takes it: OIHW, IOHW of a transposed convolution, [K, N] dense.
    bias : one number per output channel.
    norm : the batch norm in between, or None.
    outputs : the weight's axis of output channels, within a group.
    groups : of a transposed convolution, whose weights lie group after group along the inputs.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    norm: Norm | None

    def __init__(
        self,
        product: Product,
        weight: torch.Tensor,
        bias: torch.Tensor,
        *,
        outputs: int,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.norm = None
        self.outputs = outputs
        self.groups = groups
        self._product = product

    @property
    def inputs(self) -> int:
        """Products that are added for one output."""
        return self.weight.numel() // (self.groups * self.weight.shape[self.outputs])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.norm is None:
            return self._product(x, self.weight, self.bias)
        normed: torch.Tensor = self.norm(self.product(x), self.bias)
        return normed

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of products, before norm and bias."""
        return self._product(x, self.weight, None)

    def in_relax(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias with the norm folded in, float32."""
        weight, bias = self.weight.detach(), self.bias.detach()
        if self.norm is None:
            return weight, bias
        factor, offset = self.norm.affine()
        shape = [1] * (weight.ndim + 1)
        shape[0], shape[self.outputs + 1] = self.groups, -1
        grouped = weight.double().reshape(self.groups, -1, *weight.shape[1:])
        scaled = (grouped * factor.reshape(shape)).reshape(weight.shape)
        return scaled.float(), (bias.double() + offset).float()


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

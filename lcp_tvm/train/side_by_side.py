"""Steps of branches that are alike become one step on all of their channels.

    a = conv(x, wa);  b = conv(x, wb)          ab = conv(x, [wa; wb])
    c = relu(a);      d = relu(b)        =>    cd = relu(ab)
    e = conv(c, we);  f = conv(d, wf)          ef = conv of two groups(cd, [we; wf])

Branches are narrow: what they take one by one is mostly not arithmetic. Values of single branches
are still there, as parts of the wide ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch

from lcp_tvm.train.batch_norm import norm_beside
from lcp_tvm.train.layer import Layer
from lcp_tvm.train.program import Step

Members = tuple[int, ...]
"""Numbers of steps that are alike, in order."""


def side_by_side(steps: Sequence[Step]) -> list[Step]:
    """Return steps that make the same values, those of branches at once where they are alike."""
    groups = _Groups(steps)
    groups.find()
    places = count(1 + max((place for step in steps for place in step.places), default=0))
    wide: dict[Members, int] = {}
    made: list[Step] = []
    for number, step in enumerate(steps):
        members = groups.of.get(number)
        if members is None:
            made.append(step)
        elif members not in wide:
            first = steps[members[0]]  # which need not be the first that is computed
            inside = [groups.wide_operand(members, place) for place in first.operands]
            operands = tuple(
                place if one is None else wide[one]
                for place, one in zip(first.operands, inside, strict=True)
            )
            wide[members] = next(places)
            compute = _beside([steps[one] for one in members], is_wide=any(inside))
            made.append(Step(compute, operands, (wide[members],)))
            parts = tuple(steps[one].places[0] for one in members)
            made.append(Step(_Parts(len(members)), (wide[members],), parts))
    return made


@dataclass(slots=True)
class _Groups:
    """Steps that are alike.

    Attributes
    ----------
    of : the group of each step that is in one.
    """

    steps: Sequence[Step]
    of: dict[int, Members] = field(default_factory=dict)
    _makers: dict[int, int] = field(default_factory=dict)  # of values, the step

    def find(self) -> None:
        """Begin with layers that read the same value, and go on from what they make."""
        self._makers = {
            place: number for number, step in enumerate(self.steps) for place in step.places
        }
        alike: dict[tuple[Hashable, tuple[int, ...]], list[int]] = defaultdict(list)
        for number, step in enumerate(self.steps):
            begins = isinstance(step.compute, Layer) and step.compute.product.is_whole
            if begins and step.kind is not None:
                alike[step.kind, step.operands].append(number)
        for found in alike.values():
            if len(found) > 1 and not any(one in self.of for one in found):
                self._add(tuple(found))

    def wide_operand(self, members: Members, place: int) -> Members | None:
        """Return the group that an operand of the first member is the first of, if it is so.

        Layers that begin branches read one value all together.
        """
        group = self.of.get(self._makers.get(place, -1))
        if group is None or self._makers[place] != group[0]:
            return None
        shared = all(self.steps[one].operands == self.steps[members[0]].operands for one in members)
        return None if shared else group

    def _add(self, members: Members) -> None:
        """Add a group, and those of its readers that are alike."""
        self.of.update(dict.fromkeys(members, members))
        ways: dict[Hashable, list[list[int]]] = defaultdict(lambda: [[] for _ in members])
        made = {self.steps[one].places[0] for one in members}
        for number, step in enumerate(self.steps):
            if number in self.of or step.kind is None or not made.intersection(step.operands):
                continue
            makers = [self._makers.get(place, -1) for place in step.operands]
            groups = tuple(self.of.get(maker) for maker in makers)
            positions = {
                group.index(maker) if group else -1
                for maker, group in zip(makers, groups, strict=True)
            }
            if len(positions) == 1 and -1 not in positions:
                ways[step.kind, groups][positions.pop()].append(number)
        for branches in ways.values():
            if len({len(branch) for branch in branches}) == 1:
                for found in zip(*branches, strict=True):
                    if not any(one in self.of for one in found):
                        self._add(found)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Divides a wide value."""

    count: int

    def __call__(self, wide: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return wide.chunk(self.count, 1)


def _beside(steps: Sequence[Step], is_wide: bool) -> Callable[..., Any]:
    """Return what computes steps that are alike from wide operands, or layers from the same one."""
    layers = [step.compute for step in steps if isinstance(step.compute, Layer)]
    return _Layers(layers, is_wide) if layers else steps[0].compute


@dataclass(frozen=True, slots=True)
class _Layers:
    """Computes layers whose products are alike.

    Attributes
    ----------
    is_wide : whether each has an operand of its own, side by side in one; else they share it.
    """

    layers: Sequence[Layer]
    is_wide: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        layers, product = self.layers, self.layers[0].product
        norms = [layer.norm for layer in layers if layer.norm is not None]
        if norms and len(norms) < len(layers):
            operands = x.chunk(len(layers), 1) if self.is_wide else [x] * len(layers)
            apart = [layer(one) for layer, one in zip(layers, operands, strict=True)]
            return torch.cat(apart, 1)
        compute = product.compute if not self.is_wide else product.beside(len(layers))
        weight = torch.cat([layer.weight for layer in layers], product.axis)
        bias = torch.cat([layer.bias for layer in layers])
        if not norms:
            return compute(x, weight, bias)
        return norm_beside(norms, compute(x, weight, None), bias)

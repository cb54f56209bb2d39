"""Quantiles of all activations from one streamed pass: a histogram over the numbers themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from outfield.features.folds import Fold
from outfield.types import Outputs

_DROPPED = 12
_BINS = 1 << (32 - _DROPPED)
_AT_ONCE = 1 << 22
"""Numbers that are counted at a time."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Counts of float32 numbers by their leading 20 bits: bins of relative width 2^-11, whatever the range.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> sketch = FitData.of(Outputs(features=torch.linspace(-1, 1, 101)[:, None])).fold(Activations())
    >>> round(sketch.quantile(0.0)), round(abs(sketch.quantile(0.5)), 2), round(sketch.quantile(0.75), 2)
    (-1, 0.0, 0.5)
    """

    counts: Tensor

    def quantile(self, p: float) -> float:
        """The p-quantile, 0 <= p <= 1, within 2^-11 of the exact one, relatively.

        Examples
        --------
        >>> fold = Activations()
        >>> out = Outputs(features=torch.arange(1001.0).reshape(-1, 1))
        >>> round(fold.finish(fold.update(fold.start(out), out, 0)).quantile(0.9))
        900
        """
        below = self.counts.cumsum(0)
        rank = p * float(below[-1] - 1)
        lower, upper = self._value(below, math.floor(rank)), self._value(below, math.ceil(rank))
        return lower + (upper - lower) * (rank - math.floor(rank))

    def _value(self, below: Tensor, rank: int) -> float:
        """The number of that rank, taken to lie evenly among those of its bin."""
        bin_ = int(torch.searchsorted(below, torch.tensor(rank, device=below.device), right=True))
        inside = (rank - float(below[bin_] - self.counts[bin_]) + 0.5) / float(self.counts[bin_])
        left, right = _edges(bin_)
        return left + (right - left) * inside


@dataclass(frozen=True)
class Activations(Fold[Tensor, Sketch]):
    """The distribution of all scalar activations of the features; shards add up exactly.

    Examples
    --------
    >>> fold, out = Activations(), Outputs(features=torch.tensor([[1.0], [2.0], [4.0]]))
    >>> total = fold.merge(fold.update(fold.start(out), out[:1], 0), fold.update(fold.start(out), out[1:], 1))
    >>> round(fold.finish(total).quantile(1.0), 2)
    4.0
    """

    def start(self, like: Outputs) -> Tensor:
        return torch.zeros(_BINS, dtype=torch.int64, device=like.features.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        for values in chunk.features.flatten().split(_AT_ONCE):
            total.add_(torch.bincount(_leading_bits(values.float()), minlength=_BINS))
        return total

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Sketch:
        negative, positive = total.chunk(2)
        return Sketch(torch.cat([negative.flip(0), positive]))


def _leading_bits(values: Tensor) -> Tensor:
    """The leading 20 bits of float32 numbers: in their order for the positive, which come last, reversed otherwise."""
    return (values.view(torch.int32) >> _DROPPED).add_(_BINS // 2)


def _edges(bin_: int) -> tuple[float, float]:
    """Smallest and largest number that fall into a bin."""
    first = (bin_ - _BINS // 2) << _DROPPED
    ends = torch.tensor([first, first + (1 << _DROPPED) - 1], dtype=torch.int32)
    low, high = torch.where(ends >= 0, ends, ends ^ 0x7FFFFFFF).view(torch.float32).tolist()
    return low, high

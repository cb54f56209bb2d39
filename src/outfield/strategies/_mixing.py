"""Mixtures of the pictures of a batch with one another, as MixUp, CutMix and their heirs use them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

from outfield.strategies import _pictures


def beta(alpha: float) -> float:
    """One draw of Beta(alpha, alpha)."""
    return float(Beta(alpha, alpha).sample())


def mixup(x: Tensor, y: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """``lambda x_i + (1 - lambda) x_j`` and the same for the targets, with one lambda a batch."""
    share, partner = beta(alpha), _partner(x)
    return torch.lerp(x[partner], x, share), torch.lerp(y[partner], y, share)


def cutmix(x: Tensor, y: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """A box of ``x_j`` pasted into ``x_i``; the targets are mixed by the areas that are seen."""
    share, partner = beta(alpha), _partner(x)
    box = _pictures.boxes(x, torch.full((len(x),), 1 - share, device=x.device))
    pasted = box.float().mean((1, 2, 3))[:, None]
    return torch.where(box, x[partner], x), (1 - pasted) * y + pasted * y[partner]


def _partner(x: Tensor) -> Tensor:
    return torch.randperm(len(x), device=x.device)

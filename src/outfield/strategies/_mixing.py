"""Mixtures of the pictures of a batch with one another, as MixUp, CutMix and their heirs use them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.distributions import Beta

from outfield.strategies import _pictures
from outfield.types import Batch


def beta(alpha: float) -> float:
    """One draw of Beta(alpha, alpha)."""
    return float(Beta(alpha, alpha).sample())


def mixup(batch: Batch, alpha: float) -> Batch:
    """``lambda x_i + (1 - lambda) x_j`` and the same for the targets, with one lambda a batch."""
    share, partner, x, y = beta(alpha), _partner(batch), batch.x, batch.targets
    return replace(batch, x=torch.lerp(x[partner], x, share), y=torch.lerp(y[partner], y, share))


def cutmix(batch: Batch, alpha: float) -> Batch:
    """A box of ``x_j`` pasted into ``x_i``; the targets are mixed by the areas that are seen."""
    share, partner, x, y = beta(alpha), _partner(batch), batch.x, batch.targets
    box = _pictures.boxes(x, torch.full((len(x),), 1 - share, device=x.device))
    pasted = box.float().mean((1, 2, 3))[:, None]
    return replace(batch, x=torch.where(box, x[partner], x), y=(1 - pasted) * y + pasted * y[partner])


def _partner(batch: Batch) -> Tensor:
    return torch.randperm(len(batch), device=batch.x.device)

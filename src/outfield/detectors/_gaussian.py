"""Class-conditional Gaussians with one covariance: what MDS and RMDS share."""

from __future__ import annotations

import torch
from torch import Tensor

from outfield.features.moments import MomentSums
from outfield.types import State


def tied(moments: MomentSums) -> State:
    """The whitener [D, r] of the within-class covariance and the whitened class means [C, r]."""
    return {"whitener": moments.within_whitener, "means": moments.whitened_means}


def nearest(features: Tensor, whitener: Tensor, means: Tensor) -> Tensor:
    """Squared Mahalanobis distance to the nearest of whitened means, [n], in float64."""
    rows = features.double() @ whitener
    squares = (rows * rows).sum(1, keepdim=True) + (means * means).sum(1) - 2 * rows @ means.T
    return squares.min(1).values.clamp(min=0)


def distance(features: Tensor, whitener: Tensor, mean: Tensor) -> Tensor:
    """Squared Mahalanobis distance to one whitened mean, [n], in float64."""
    rows = features.double() @ whitener - mean
    return torch.einsum("nr,nr->n", rows, rows)

"""Class-conditional Gaussians with one covariance: what MDS, RMDS, both on the unit sphere, and HEAT share."""

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
    return squares(features.double() @ whitener, means).min(1).values


def squares(rows: Tensor, means: Tensor) -> Tensor:
    """Squared Euclidean distances of rows [n, r] to means [C, r], [n, C].

    Examples
    --------
    >>> import torch
    >>> squares(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[25.,  0.]])
    """
    lengths = (rows * rows).sum(1, keepdim=True) + (means * means).sum(1)
    return lengths.sub_(2 * rows @ means.T).clamp_(min=0)


def distance(features: Tensor, whitener: Tensor, mean: Tensor) -> Tensor:
    """Squared Mahalanobis distance to one whitened mean, [n], in float64."""
    rows = features.double() @ whitener - mean
    return torch.einsum("nr,nr->n", rows, rows)


def tied_with_background(moments: MomentSums) -> State:
    """``tied``, and whitener and whitened mean of all rows, whatever their class."""
    background = moments.total_whitener
    return {**tied(moments), "background_whitener": background, "background_mean": moments.mean @ background}


def relative(features: Tensor, state: State) -> Tensor:
    """Squared distance to the nearest class less that to the mean of all rows, [n], in float64."""
    nearest_class = nearest(features, state["whitener"], state["means"])
    return nearest_class - distance(features, state["background_whitener"], state["background_mean"])

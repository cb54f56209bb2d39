"""Averages of the weights of networks of one shape: between two, and over the steps of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """``(1 - share) start + share end`` of weights and statistics by name; counts are the end's.

    Examples
    --------
    >>> import torch
    >>> between({"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}, 0.25)
    {'w': tensor([1.])}
    """
    return {
        name: start[name].lerp(value, share) if value.is_floating_point() else value.clone()
        for name, value in end.items()
    }


def beta_weights(steps: int, shape: float) -> NDArray[np.float64]:
    """What each of the networks after 0, 1, ... steps counts in a Beta moving average [steps + 1]; the sum is 1.

    The density of ``Beta(shape, shape)`` at the middles of equal parts of (0, 1): both ends count most below shape 1.

    Examples
    --------
    >>> beta_weights(2, 0.5).round(2)
    array([0.36, 0.27, 0.36])
    """
    density = beta(shape, shape).pdf((np.arange(steps + 1) + 0.5) / (steps + 1))
    return np.asarray(density / density.sum())

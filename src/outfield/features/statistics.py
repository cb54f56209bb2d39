"""Five statistics of the penultimate features that training strategies move."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from outfield.features.folds import run
from outfield.features.moments import Moments
from outfield.types import Outputs

TINY = 1e-3


def feature_statistics(chunks: Iterable[Outputs]) -> dict[str, float]:
    """Total variance, participation ratio, share below 1e-3, mean and standard deviation of the L2 norm [1].

    ``total_variance = tr S`` and ``participation_ratio = (tr S)^2 / tr S^2`` with S the covariance of the features:
    the number of directions that they spread over evenly. The share is of all scalar activations with
    ``|f| < 1e-3``.

    Parameters
    ----------
    chunks : re-iterable of Outputs with features and labels

    Examples
    --------
    >>> out = Outputs(logits=torch.zeros(2, 1), features=torch.tensor([[3.0, 0.0], [0.0, 4.0]]),
    ...               labels=torch.tensor([0, 0]))
    >>> {name: round(value, 3) for name, value in feature_statistics([out]).items()}
    {'total_variance': 6.25, 'participation_ratio': 1.0, 'tiny_share': 0.5, 'norm_mean': 3.5, 'norm_sd': 0.5}

    References
    ----------
    [1] Krumpl et al. One Model, Many Behaviors: Training-Induced Effects on Out-of-Distribution Detection. 2026.
    """
    (sums,) = run([fold := Moments()], chunks)
    covariance = fold.finish(sums).covariance
    total = covariance.trace()
    norms = torch.cat([chunk.features.double().norm(dim=1) for chunk in chunks])
    tiny = sum(float((chunk.features.abs() < TINY).double().mean(1).sum()) for chunk in chunks)
    return {
        "total_variance": float(total),
        "participation_ratio": float(total**2 / covariance.square().sum()) if total > 0 else 0.0,
        "tiny_share": tiny / len(norms),
        "norm_mean": float(norms.mean()),
        "norm_sd": float(norms.std(correction=0)),
    }

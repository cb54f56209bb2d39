"""Digits with a cue of tunable correlation, and populations of small linear models on them, in NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Values = NDArray[np.float64]
CUE = 8
"""Features that hold the cue."""


@dataclass(frozen=True)
class Spurious:
    """Features [n, 64 + 8] of digits with a cue, the label (digit of 5 or more) and whether the cue agrees with it."""

    x: Values
    y: Values
    agrees: NDArray[np.bool_]


def spurious(correlation: float, part: slice, seed: int, strength: float = 1.0) -> Spurious:
    """Every second scan or so, its cue right with a chance of ``correlation``."""
    rng = np.random.default_rng(seed)
    scans = load_digits()
    order = np.random.default_rng(0).permutation(len(scans.data))[part]
    y = (scans.target[order] >= 5) * 1.0
    agrees = rng.random(len(y)) < correlation
    shown = np.where(agrees, y, 1 - y) * 2 - 1
    cue = strength * shown[:, None] + 0.3 * rng.normal(size=(len(y), CUE))
    pictures = (scans.data[order] - 8) / 8
    return Spurious(np.hstack([pictures, cue]), y, agrees)


def descend(data: Spurious, weights: Values, epochs: int, rate: float, diversity: float = 0.0) -> list[Values]:
    """Weights [models, features + 1] after each epoch of gradient descent on the logistic loss.

    With ``diversity`` the squared cosines of the models' input gradients (of a linear model its weights) are added.
    """
    x = np.hstack([data.x, np.ones((len(data.y), 1))])
    kept = []
    for _ in range(epochs):
        p = 1 / (1 + np.exp(-np.clip(x @ weights.T, -30, 30)))
        gradient = (p - data.y[:, None]).T @ x / len(x)
        if diversity:
            norms = np.linalg.norm(weights, axis=1, keepdims=True)
            unit = weights / norms
            cosines = unit @ unit.T - np.eye(len(weights))
            pull = 2 * (cosines @ unit - (cosines**2).sum(axis=1, keepdims=True) * unit) / norms
            gradient = gradient + diversity * pull
        weights = weights - rate * gradient
        kept.append(weights)
    return kept


def accuracies(data: Spurious, weights: Values, some: NDArray[np.bool_] | None = None) -> Values:
    """Accuracy of each model, on all items or some."""
    x = np.hstack([data.x, np.ones((len(data.y), 1))])
    right = (x @ weights.T > 0) == (data.y[:, None] > 0.5)
    return (right if some is None else right[some]).mean(axis=0)


def starts(models: int, seed: int, scale: float = 1e-3) -> Values:
    return np.random.default_rng(seed).normal(0, scale, (models, 64 + CUE + 1))


def along_training(correlation: float, epochs: Sequence[int], models: int = 12, seed: int = 0) -> tuple[Values, Values]:
    """Majority and minority accuracy of models at epochs of their training."""
    train, test = spurious(correlation, slice(0, 900), seed, 0.3), spurious(0.5, slice(900, None), seed + 1, 0.3)
    runs = descend(train, starts(models, seed), max(epochs), rate=0.02)
    at = np.concatenate([runs[epoch - 1] for epoch in epochs])
    return accuracies(test, at, test.agrees), accuracies(test, at, ~test.agrees)


def on_a_frozen_backbone(diversity: float, seed: int, models: int = 40, epochs: int = 100) -> tuple[Values, Values]:
    """ID and hard-shift accuracy of linear heads on six principal components and the cue; four learn together.

    In training and ID data the cue is right in 95%, under the shift in 5%.
    """
    sets = [spurious(rate, part, at) for rate, part, at in _SETS]
    components = np.linalg.svd(sets[0].x[:, :64] - sets[0].x[:, :64].mean(axis=0), full_matrices=False)[2][:6].T / 2
    train, known, shifted = (
        Spurious(np.hstack([one.x[:, :64] @ components, one.x[:, 64:].mean(axis=1, keepdims=True)]), one.y, one.agrees)
        for one in sets
    )
    weights = np.random.default_rng(seed).normal(0, 0.3, (models, 8))
    groups = [descend(train, weights[i : i + 4], epochs, 0.2, diversity)[-1] for i in range(0, models, 4)]
    trained = np.concatenate(groups)
    return accuracies(known, trained), accuracies(shifted, trained)


_SETS = ((0.95, slice(0, 900), 0), (0.95, slice(900, None), 1), (0.05, slice(900, None), 2))

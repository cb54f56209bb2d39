"""Which detector to take for one model, and how sure that is: judged on the same inputs, paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from outfield.errors import UserError
from outfield.metrics._ranking import Placements

DRAWS = 10_000
Scores = Mapping[str, NDArray[np.float64]]
"""Scores of one detector by data set; the ID test set is called ``test``."""
ID = "test"


@dataclass(frozen=True, eq=False)
class Choice:
    """The detector with the highest AUROC, every OOD category weighing the same.

    Attributes
    ----------
    best : str
    surety : float
        Probability that other inputs of the same sets would lead to the same choice.
    table : frame
        Per detector: ``mean`` AUROC with its interval, ``probability`` of being the best, its ``difference`` to the
        best with its interval, and its weakest set.
    without : mapping
        OOD set to what is chosen when it is left out, and what that earns on it (AUROC).
    n : int
        Inputs that all detectors were compared on.
    """

    best: str
    surety: float
    table: pl.DataFrame
    without: Mapping[str, tuple[str, float]]
    n: int

    @property
    def alike(self) -> tuple[str, ...]:
        """Detectors whose difference to the best has an interval that holds 0."""
        return tuple(self.table.filter(pl.col("high_difference") >= 0, pl.col("detector") != self.best)["detector"])


@dataclass(frozen=True)
class _Moments:
    """Mean AUROCs of the detectors [D], their covariance [D, D], and the AUROCs by set [S, D]."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    aurocs: NDArray[np.float64]


def choose(scores: Mapping[str, Scores], categories: Mapping[str, str], seed: int = 0) -> Choice:
    """The detector to take, from the scores of every detector on the same inputs.

    The mean over sets of the AUROCs is a sum of placements; its covariance between detectors, from DeLong's
    components, gives intervals of differences and, by draws, the probability of each detector to be the best.

    Parameters
    ----------
    scores : mapping of detector to its scores by set; ``test`` holds the ID scores
    categories : mapping of OOD set to its category

    Raises
    ------
    UserError
        No detector, no OOD set, or fewer than two inputs in a set.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> known, noise = rng.normal(size=200), rng.normal(size=(2, 200))
    >>> found = choose(
    ...     {"good": {"test": known, "far": known + 2}, "bad": {"test": noise[0], "far": noise[1]}}, {"far": "far"}
    ... )
    >>> found.best, found.surety, found.alike
    ('good', 1.0, ())
    """
    names, sets = list(scores), list(categories)
    if not names or not sets:
        raise UserError("Expected a detector and an OOD set to choose on, but there is none. Give both.")
    weights = _weights(categories)
    found = _moments([scores[name] for name in names], sets, weights)
    draws = np.random.default_rng(seed).multivariate_normal(found.mean, found.covariance, DRAWS, method="eigh")
    probability = np.bincount(draws.argmax(axis=1), minlength=len(names)) / DRAWS
    best = int(found.mean.argmax())
    table = pl.DataFrame(list(_rows(names, sets, found, probability, best))).sort("mean", descending=True)
    without = dict(_without(names, sets, categories, found.aurocs)) if len(sets) > 1 else {}
    n = sum(len(values) for values in scores[names[0]].values())
    return Choice(names[best], float(probability[best]), table, without, n)


def _weights(categories: Mapping[str, str]) -> NDArray[np.float64]:
    """Weights of the sets: the categories share alike, and so do the sets of each."""
    members = list(categories.values())
    return np.array([1 / (len(set(members)) * members.count(category)) for category in members])


def _moments(scores: Sequence[Scores], sets: Sequence[str], weights: NDArray[np.float64]) -> _Moments:
    known = np.zeros((len(scores[0][ID]), len(scores)))
    covariance = np.zeros((len(scores), len(scores)))
    aurocs = []
    for name, weight in zip(sets, weights, strict=True):
        places = [Placements.of(one[ID], one[name]) for one in scores]
        known += weight * np.stack([one.id for one in places], axis=1)
        covariance += weight**2 * _covariance(np.stack([one.ood for one in places], axis=1), name)
        aurocs.append([one.auroc for one in places])
    by_set = np.array(aurocs)
    return _Moments(weights @ by_set, covariance + _covariance(known, ID), by_set)


def _covariance(components: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Covariance of the column means."""
    if len(components) < 2:
        raise UserError(f"Expected at least two inputs of {name!r} to compare detectors on, but got one. Add some.")
    return np.atleast_2d(np.cov(components.T)) / len(components)


def _rows(
    names: Sequence[str], sets: Sequence[str], found: _Moments, probability: NDArray[np.float64], best: int
) -> Iterator[dict[str, str | float]]:
    z = stats.norm.ppf(0.975)
    variance = found.covariance.diagonal()
    for i, name in enumerate(names):
        half = z * np.sqrt(variance[i])
        difference = found.mean[i] - found.mean[best]
        spread = z * np.sqrt(max(variance[i] + variance[best] - 2 * found.covariance[i, best], 0.0))
        yield {
            "detector": name,
            "mean": found.mean[i],
            "low": max(found.mean[i] - half, 0.0),
            "high": min(found.mean[i] + half, 1.0),
            "probability": probability[i],
            "difference": difference,
            "low_difference": difference - spread if i != best else 0.0,
            "high_difference": difference + spread if i != best else 0.0,
            "weakest": sets[int(found.aurocs[:, i].argmin())],
            "weakest_auroc": found.aurocs[:, i].min(),
        }


def _without(
    names: Sequence[str], sets: Sequence[str], categories: Mapping[str, str], aurocs: NDArray[np.float64]
) -> Iterator[tuple[str, tuple[str, float]]]:
    """What the rule picks without each set, and the AUROC of that pick on it."""
    for i, name in enumerate(sets):
        rest = {other: categories[other] for other in sets if other != name}
        chosen = int((_weights(rest) @ np.delete(aurocs, i, axis=0)).argmax())
        yield name, (names[chosen], float(aurocs[i, chosen]))

"""Which detector to take for one model, and how sure that is: judged on the same inputs, paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from outfield.errors import UserError, with_and
from outfield.metrics._ranking import Placements
from outfield.stats.recommend import TIE
from outfield.types import Estimate

DRAWS = 10_000
Scores = Mapping[str, NDArray[np.float64]]
"""Scores of one detector by data set; the ID test set is called ``test``."""
ID = "test"


@dataclass(frozen=True, eq=False)
class Choice:
    """The detector with the highest mean AUROC over OOD sets, each counting once, as in a study's report.

    Attributes
    ----------
    best : str
        Of detectors that tie exactly, the first by name.
    surety : float
        Probability that other inputs of the same sets would lead to the same choice.
    table : frame
        Per detector: ``mean`` AUROC with its interval, ``probability`` of being the best, its ``difference`` to the
        best with its interval, and its weakest set (all that tie).
    without : mapping
        OOD set to what is chosen when it is left out, and what that earns on it (AUROC); of ties all, and their mean.
    held_out : Estimate, optional
        Mean AUROC over sets, where each is judged by the detector that was chosen without it: what the rule
        is worth on sets that it has not seen. None where there is one set only.
    n : int
        Inputs that all detectors were compared on.

    Examples
    --------
    >>> table = pl.DataFrame({"detector": ["knn", "msp"], "difference": [0.0, -0.01], "high_difference": [0.0, 0.02]})
    >>> found = Choice("knn", 0.7, table, {}, None, 100)
    >>> found.tied, found.alike
    (('knn',), ('msp',))
    """

    best: str
    surety: float
    table: pl.DataFrame
    without: Mapping[str, tuple[str, float]]
    held_out: Estimate | None
    n: int

    @property
    def alike(self) -> tuple[str, ...]:
        """Detectors whose difference to the best has an interval that holds 0."""
        return tuple(self.table.filter(pl.col("high_difference") >= 0, pl.col("detector") != self.best)["detector"])

    @property
    def tied(self) -> tuple[str, ...]:
        """All detectors of the highest mean AUROC, equal to rounding; the best alone where none ties with it."""
        return tuple(self.table.filter(pl.col("difference") >= -TIE).sort("detector")["detector"])


@dataclass(frozen=True)
class _Moments:
    """Mean AUROCs of the detectors [D], their covariance [D, D], the AUROCs by set [S, D], placements behind them."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    aurocs: NDArray[np.float64]
    places: Sequence[Sequence[Placements]]


def paired(tables: Mapping[str, pl.DataFrame], test: str, ood: Sequence[str]) -> dict[str, Scores]:
    """Scores by detector and set, of the rows that every detector has scored, in one order.

    Parameters
    ----------
    tables : mapping of detector to its per-sample scores (columns set, row, score)
    test : str
        What the ID test set is called there.
    ood : names of the OOD sets

    Examples
    --------
    >>> one = pl.DataFrame({"set": ["test", "test", "far"], "row": [0, 1, 0], "score": [0.1, 0.2, 0.9]})
    >>> paired({"msp": one, "knn": one.filter(pl.col("row") == 0)}, "test", ["far"])["msp"]
    {'test': array([0.1]), 'far': array([0.9])}
    """
    named = [table.select("set", "row", pl.col("score").alias(name)) for name, table in tables.items()]
    joined = named[0]
    for table in named[1:]:
        joined = joined.join(table, on=["set", "row"], how="inner")
    by_set = joined.sort("set", "row").partition_by("set", as_dict=True)
    if absent := [name for name in (test, *ood) if (name,) not in by_set]:
        raise UserError(
            f"Expected inputs of {', '.join(absent)} that every detector has scored, but there is none. "
            "Ask for fewer detectors."
        )
    places = {ID: test, **{name: name for name in ood}}
    return {
        name: {known: by_set[(where,)][name].to_numpy().astype(np.float64) for known, where in places.items()}
        for name in tables
    }


def choose(scores: Mapping[str, Scores], categories: Mapping[str, str], seed: int = 0) -> Choice:
    """The detector to take, from the scores of every detector on the same inputs.

    The mean over sets of the AUROCs is a sum of placements; its covariance between detectors, from DeLong's
    components, gives intervals of differences and, by draws, the probability of each detector to be the best.

    Parameters
    ----------
    scores : mapping of detector to its scores by set; ``test`` holds the ID scores
    categories : mapping of OOD set to its category; they name the sets, each of which counts once

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
    weights = np.full(len(sets), 1 / len(sets))
    found = _moments([scores[name] for name in names], sets, weights)
    draws = np.random.default_rng(seed).multivariate_normal(found.mean, found.covariance, DRAWS, method="eigh")
    probability = _winning(draws)
    best = min(_tied(found.mean), key=lambda i: names[i])
    rows = pl.DataFrame(list(_rows(names, sets, found, probability, best)))
    table = rows.sort(pl.col("difference").clip(None, -TIE), "detector", descending=[True, False])
    picks = _picks(found.aurocs) if len(sets) > 1 else []
    without = {
        sets[i]: (" or ".join(sorted(names[one] for one in picked)), float(found.aurocs[i, picked].mean()))
        for i, picked in enumerate(picks)
    }
    n = sum(len(values) for values in scores[names[0]].values())
    return Choice(names[best], float(probability[best]), table, without, _held_out(picks, found, weights), n)


def _tied(values: NDArray[np.float64]) -> list[int]:
    """The places of the largest values, equal but for rounding."""
    return [int(i) for i in np.flatnonzero(values >= values.max() - TIE)]


def _winning(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of draws that each column wins, those of a tie shared evenly; ``TIE`` allows for a root's rounding."""
    first = draws >= draws.max(axis=1, keepdims=True) - np.sqrt(TIE) / 10
    shares: NDArray[np.float64] = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def _moments(scores: Sequence[Scores], sets: Sequence[str], weights: NDArray[np.float64]) -> _Moments:
    known = np.zeros((len(scores[0][ID]), len(scores)))
    covariance = np.zeros((len(scores), len(scores)))
    by_set = [[Placements.of(one[ID], one[name]) for one in scores] for name in sets]
    for name, weight, places in zip(sets, weights, by_set, strict=True):
        known += weight * np.stack([one.id for one in places], axis=1)
        covariance += weight**2 * _covariance(np.stack([one.ood for one in places], axis=1), name)
    aurocs = np.array([[one.auroc for one in places] for places in by_set])
    return _Moments(weights @ aurocs, covariance + _covariance(known, ID), aurocs, by_set)


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
            "weakest": with_and([sets[one] for one in _tied(-found.aurocs[:, i])]),
            "weakest_auroc": found.aurocs[:, i].min(),
        }


def _picks(aurocs: NDArray[np.float64]) -> list[list[int]]:
    """For each set, the detectors that the rule picks without it: several where they tie."""
    return [_tied(np.delete(aurocs, i, axis=0).mean(axis=0)) for i in range(len(aurocs))]


def _held_out(picks: Sequence[Sequence[int]], found: _Moments, weights: NDArray[np.float64]) -> Estimate | None:
    """Mean AUROC of the picks, each on the set that it was chosen without; DeLong's interval, the picks held fast."""
    if not picks:
        return None
    places = [_mean_places([found.places[i][one] for one in picked]) for i, picked in enumerate(picks)]
    mean = float(sum(weight * one.auroc for weight, one in zip(weights, places, strict=True)))
    known = sum(weight * one.id for weight, one in zip(weights, places, strict=True))
    variance = np.var(known, ddof=1) / len(places[0].id)
    variance += sum(w**2 * np.var(one.ood, ddof=1) / len(one.ood) for w, one in zip(weights, places, strict=True))
    half = float(stats.norm.ppf(0.975) * np.sqrt(variance))
    n = len(places[0].id) + sum(len(one.ood) for one in places)
    return Estimate(mean, max(mean - half, 0.0), min(mean + half, 1.0), n)


def _mean_places(tied: Sequence[Placements]) -> Placements:
    """The placements of one of several detectors, taken by lot."""
    return Placements(np.mean([one.id for one in tied], axis=0), np.mean([one.ood for one in tied], axis=0))

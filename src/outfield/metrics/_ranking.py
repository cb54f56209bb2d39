"""ID scores sorted once, ranked against every OOD set; AUROC and its variance follow by counting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, isnan, log, sqrt
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.errors import OutfieldError, UserError
from outfield.metrics._arrays import numbers, truths
from outfield.metrics._intervals import NAN, Z, wilson
from outfield.metrics._weights import FEW, Weights, checked, counted, effective, variance_of_mean
from outfield.types import Estimate

Scores: TypeAlias = NDArray[Any]
Counts: TypeAlias = NDArray[np.int64]
Masses: TypeAlias = NDArray[Any]
"""Counts of samples as integers, or sums of their weights as floats."""


def _scores(values: ArrayLike, what: str) -> Scores:
    """One axis of numbers, float32 kept, all else as float64."""
    array = numbers(values, f"{what} scores")
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    if array.ndim != 1 or not array.size:
        raise UserError(
            f"Expected {what} scores [n] with n >= 1, but got shape {list(array.shape)}. "
            f"Pass one score for each {what} sample; leave an empty set out."
        )
    return array


def _refuse_nan(array: Scores, what: str) -> None:
    if np.isnan(array[-1]):
        raise UserError(
            f"Expected {what} scores that are numbers, but got {int(np.isnan(array).sum())} NaN of {array.size}. "
            "Look for NaN in the model's logits and features, or for a detector that divides by zero."
        )


class IdScores:
    """Scores of the ID samples, sorted once, for ranking against any number of OOD sets.

    Parameters
    ----------
    scores : array [n]
        Higher means further out.
    correct : array of bool [n], optional
        Whether the model classified each sample rightly; the diagnostics need it.
    weights : array [n], optional
        How much each sample counts; whole numbers count as repeated rows, and a row of weight 0 is as good as absent.

    Attributes
    ----------
    values : array [n]
        The scores in ascending order.
    correct : array of bool [n] or None
        In the order of ``values``.
    weights : array [n] or None
        In the order of ``values``; None where every sample counts once.

    Raises
    ------
    UserError
        Empty or NaN scores, or no numbers; as many ``correct`` as scores are not there, or some are neither true nor
        false; weights that are NaN, negative or all 0.

    Examples
    --------
    >>> scores = IdScores([0.3, 0.1, 0.2], correct=[False, True, True])
    >>> scores.values, scores.part(True).values
    (array([0.1, 0.2, 0.3]), array([0.1, 0.2]))
    >>> scores.against([0.25, 0.4]).auroc
    0.8333333333333334
    """

    def __init__(self, scores: ArrayLike, correct: ArrayLike | None = None, weights: ArrayLike | None = None) -> None:
        array = _scores(scores, "ID")
        flags = None if correct is None else truths(correct, len(array))
        mass = checked(weights, len(array), "ID")
        rows = counted(mass)
        array = array[rows]
        order = None if flags is None and mass is None else np.argsort(array, kind="stable")
        self.values: Scores = np.sort(array) if order is None else array[order]
        self.correct: NDArray[np.bool_] | None = None if flags is None else flags[rows][order]
        self.weights: Weights | None = None if mass is None else mass[rows][order]
        _refuse_nan(self.values, "ID")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"IdScores({len(self)} samples)"

    def against(self, ood_scores: ArrayLike, weights: ArrayLike | None = None) -> Ranking:
        """These scores ranked against those of one OOD set, whose samples may have weights of their own.

        Examples
        --------
        >>> ranking = IdScores([0.1, 0.2, 0.3]).against([0.2, 0.9], weights=[1.0, 3.0])
        >>> ranking.n, ranking.mass
        (5, 4.0)
        """
        ood = _scores(ood_scores, "OOD")
        mass = checked(weights, len(ood), "OOD")
        if mass is not None:
            rows = counted(mass)
            order = np.argsort(ood[rows], kind="stable")
            ood, mass = ood[rows][order], mass[rows][order]
        ood = np.sort(ood) if mass is None else ood
        _refuse_nan(ood, "OOD")
        return Ranking(self, ood, mass)

    @property
    def mass(self) -> float:
        """The samples' number, or the sum of their weights."""
        return len(self) if self.weights is None else float(self._up_to[-1])

    def below(self, places: Any) -> Masses:
        """How many of the lowest samples there are up to each place, or what they weigh."""
        return np.asarray(places if self.weights is None else self._up_to[places])

    @cached_property
    def _up_to(self) -> NDArray[np.float64]:
        return up_to(self.weights if self.weights is not None else np.ones(len(self)))

    def part(self, correct: bool) -> IdScores:
        """The samples that the model classified rightly (or wrongly).

        Raises
        ------
        UserError
            ``correct`` was not given, or there is no such sample.

        Examples
        --------
        >>> IdScores([0.3, 0.1, 0.2], correct=[False, True, True]).part(False).values
        array([0.3])
        >>> IdScores([0.3, 0.1], correct=[True, True]).part(False)
        Traceback (most recent call last):
        outfield.errors.UserError: Expected wrongly classified ID samples, but all 2 are right. Leave this ...
        """
        if not self.count(correct):
            raise UserError(
                f"Expected {'correctly' if correct else 'wrongly'} classified ID samples, but all {len(self)} are "
                f"{'wrong' if correct else 'right'}. Leave this diagnostic out for this model, or use more ID samples."
            )
        return self._right if correct else self._wrong

    def count(self, correct: bool) -> int:
        """How many samples the model classified rightly (or wrongly)."""
        right = int(self.known.sum())
        return right if correct else len(self) - right

    @property
    def known(self) -> NDArray[np.bool_]:
        """``correct``, in the order of ``values``; a ``UserError`` where it was not given."""
        if self.correct is None:
            raise UserError(
                "Expected to know which ID samples are classified rightly, but `correct` was not given. "
                "Pass correct=(predicted == labels) beside the ID scores."
            )
        return self.correct

    @cached_property
    def _right(self) -> IdScores:
        return _sorted_part(self, self.known)

    @cached_property
    def _wrong(self) -> IdScores:
        return _sorted_part(self, ~self.known)


def _sorted_part(scores: IdScores, keep: NDArray[np.bool_]) -> IdScores:
    part = IdScores.__new__(IdScores)
    part.values, part.correct = scores.values[keep], None
    part.weights = None if scores.weights is None else scores.weights[keep]
    return part


def up_to(weights: Weights) -> NDArray[np.float64]:
    """Sums of the first 0, 1, .. n weights, [n + 1].

    Examples
    --------
    >>> up_to(np.array([2.0, 0.5]))
    array([0. , 2. , 2.5])
    """
    return np.concatenate(([0.0], np.cumsum(weights)))


@dataclass(frozen=True, eq=False)
class Ranking:
    """ID scores against one OOD set's, both ascending; OOD is the positive class. Made by ``IdScores.against``.

    Every count is made once, in O(n + m) after the OOD scores' sort, and serves every metric.

    Attributes
    ----------
    id : IdScores
    ood : array [m]
    weights : array [m] or None
        Of the OOD samples; None where each counts once.

    Examples
    --------
    >>> ranking = IdScores([0.1, 0.2, 0.3]).against([0.25, 0.4])
    >>> ranking.n_id, ranking.n_ood, round(ranking.auroc, 3)
    (3, 2, 0.833)
    """

    id: IdScores
    ood: Scores
    weights: Weights | None = None

    @property
    def n_id(self) -> int:
        return len(self.id)

    @property
    def n_ood(self) -> int:
        return len(self.ood)

    @property
    def n(self) -> int:
        """Samples of both kinds."""
        return self.n_id + self.n_ood

    @property
    def weighted(self) -> bool:
        """Whether samples of either kind have weights."""
        return self.weights is not None or self.id.weights is not None

    @property
    def mass(self) -> float:
        """The OOD samples' number, or the sum of their weights."""
        return self.n_ood if self.weights is None else float(self._up_to[-1])

    def below(self, places: Any) -> Masses:
        """How many of the lowest OOD samples there are up to each place, or what they weigh."""
        return np.asarray(places if self.weights is None else self._up_to[places])

    @cached_property
    def _up_to(self) -> NDArray[np.float64]:
        return up_to(self.weights if self.weights is not None else np.ones(self.n_ood))

    @cached_property
    def _first(self) -> Counts:
        """For each OOD score the place of the first ID score that is not below it."""
        return np.searchsorted(self.id.values, self.ood, side="left")

    @cached_property
    def _last(self) -> Counts:
        """For each OOD score the place behind the last ID score that is not above it."""
        places = self._first.copy()
        tied = np.flatnonzero(self.id.values[np.minimum(places, self.n_id - 1)] == self.ood)
        places[tied] = np.searchsorted(self.id.values, self.ood[tied], side="right")
        return places

    @cached_property
    def id_below(self) -> Masses:
        """For each OOD score: how many ID scores are below it, or what they weigh, [m]."""
        return self.id.below(self._first)

    @cached_property
    def id_at_most(self) -> Masses:
        """The same of ID scores that are not above it; unequal to ``id_below`` at ties alone."""
        return self.id.below(self._last)

    @cached_property
    def ood_above(self) -> Masses:
        """For each ID score: how many OOD scores are above it, or what they weigh, [n]."""
        return self._beyond(self._first)

    @cached_property
    def ood_at_least(self) -> Masses:
        """The same of OOD scores that are not below it, [n]."""
        return self._beyond(self._last)

    def _beyond(self, places: Counts) -> Masses:
        passed = np.cumsum(np.bincount(places, minlength=self.n_id + 1))[:-1]
        return self.n_ood - passed if self.weights is None else self._up_to[-1] - self._up_to[passed]

    @cached_property
    def auroc(self) -> float:
        """P(ID < OOD) + P(ID = OOD) / 2: a quotient of integers, so exact to rounding."""
        if self.weighted:
            twice = self.id_below + self.id_at_most
            own = np.ones(self.n_ood) if self.weights is None else self.weights
            return min(1.0, float(own @ twice) / (2 * self.id.mass * self.mass))
        return int(self.id_below.sum() + self.id_at_most.sum()) / (2 * self.n_id * self.n_ood)


def delong(ranking: Ranking) -> float:
    """DeLong's variance of the AUROC, in O(n log n) [1, 2].

    With ``v_i`` the share of OOD scores above ID score i and ``v_j`` the share of ID scores below OOD score j
    (ties 1/2), ``var(v_i) / n_id + var(v_j) / n_ood``. NaN where either kind has one sample. With weights each part is
    the variance of a weighted mean, which is the same for equal weights.

    Examples
    --------
    >>> round(delong(IdScores([1.0, 2.0, 3.0]).against([2.5, 4.0, 5.0])), 6)
    0.024691

    References
    ----------
    [1] DeLong, DeLong, Clarke-Pearson. Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves. Biometrics 1988.
    [2] Sun, Xu. Fast Implementation of DeLong's Algorithm. IEEE Signal Processing Letters 2014.
    """
    return sum(_parts(ranking))


def _parts(ranking: Ranking) -> tuple[float, float]:
    """The two parts of that variance: what the ID samples add, and what the OOD samples do."""
    if min(ranking.n_id, ranking.n_ood) < 2:
        return NAN, NAN
    twice_id = ranking.ood_above + ranking.ood_at_least
    twice_ood = ranking.id_below + ranking.id_at_most
    if ranking.weighted:
        id_part = variance_of_mean(twice_id / (2 * ranking.mass), ranking.id.weights)
        return id_part, variance_of_mean(twice_ood / (2 * ranking.id.mass), ranking.weights)
    id_part = float(twice_id.var(ddof=1)) / (4 * ranking.n_ood**2 * ranking.n_id)
    return id_part, float(twice_ood.var(ddof=1)) / (4 * ranking.n_id**2 * ranking.n_ood)


def auroc_estimate(ranking: Ranking) -> Estimate:
    """AUROC with DeLong's 95% interval on the logit scale.

    Where the variance is 0 (complete separation), or either kind has fewer than 10 samples, which do not tell their own
    variance, the interval is Wilson's for ``min(n_id, n_ood)`` items: the largest variance that an AUROC can have is
    ``A (1 - A) / min(n_id, n_ood)`` [1]. Where all samples of one kind stand at one place among the other's, so that
    they show no variance, it reaches at least as far as Wilson's for their number. Weighted samples count as effective
    ones.

    References
    ----------
    [1] Birnbaum, Klose. Bounds for the Variance of the Mann-Whitney Statistic. Annals of Math. Statistics 1957.
    """
    value, parts = ranking.auroc, _parts(ranking)
    if isnan(variance := sum(parts)):
        return Estimate(value, n=ranking.n)
    items = (_worth(ranking.id.weights, ranking.n_id), _worth(ranking.weights, ranking.n_ood))
    nothing = 1e-24 if ranking.weighted else 0
    if variance <= nothing or value in {0.0, 1.0} or min(items) < FEW:
        return Estimate(value, *wilson(value, min(items)), ranking.n)
    low, high = logit_interval(value, sqrt(variance))
    for count in (count for count, part in zip(items, parts, strict=True) if part <= nothing):
        least, most = wilson(value, count)
        low, high = min(low, least), max(high, most)
    return Estimate(value, low, high, ranking.n)


def _worth(weights: Weights | None, n: int) -> float:
    return n if weights is None else effective(weights)


def logit_interval(value: float, error: float) -> tuple[float, float]:
    """``value`` in (0, 1) with standard error ``error``: the normal interval on the logit scale, brought back."""
    centre, half = log(value / (1 - value)), Z * error / (value * (1 - value))
    return _expit(centre - half), _expit(centre + half)


def _expit(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


@dataclass(frozen=True, eq=False)
class Placements:
    """Where each sample stands among those of the other kind, in the order the samples came.

    Attributes
    ----------
    id : array [n]
        For each ID sample the share of OOD scores above it, ties 1/2.
    ood : array [m]
        For each OOD sample the share of ID scores below it, ties 1/2.
    """

    id: NDArray[np.float64]
    ood: NDArray[np.float64]

    @classmethod
    def of(cls, id_scores: ArrayLike, ood_scores: ArrayLike) -> Placements:
        """Of scores as they came; equal orders make two detectors' placements comparable.

        Examples
        --------
        >>> Placements.of([2.0, 1.0], [1.5, 3.0])
        Placements(id=array([0.5, 1. ]), ood=array([0.5, 1. ]))
        """
        first, second = _scores(id_scores, "ID"), _scores(ood_scores, "OOD")
        ranking = IdScores(first).against(second)
        return cls(
            _unsorted((ranking.ood_above + ranking.ood_at_least) / (2 * ranking.n_ood), first),
            _unsorted((ranking.id_below + ranking.id_at_most) / (2 * ranking.n_id), second),
        )

    @property
    def auroc(self) -> float:
        return float(self.ood.mean())


def _unsorted(values: NDArray[np.float64], like: Scores) -> NDArray[np.float64]:
    out = np.empty_like(values)
    out[np.argsort(like, kind="stable")] = values
    return out


def delong_covariance(first: Placements, second: Placements, shared: Literal["both", "id", "ood"] = "both") -> float:
    """DeLong's covariance of two AUROCs that share samples.

    Parameters
    ----------
    first, second : Placements
        Rows of what is shared in one order.
    shared : ``"both"``, ``"id"`` or ``"ood"``
        Which samples are the same: both kinds (two detectors on one data set), the ID samples alone (two OOD
        sets against one ID set), or the OOD samples alone.

    Examples
    --------
    >>> a, b = Placements.of([0.0, 1.0, 2.0], [1.5, 3.0]), Placements.of([0.0, 2.0, 1.0], [1.5, 3.0])
    >>> round(delong_covariance(a, a), 4), round(delong_covariance(a, b), 4), round(delong_covariance(a, b, "id"), 4)
    (0.0556, 0.0139, -0.0139)
    """
    kinds = ("id", "ood") if shared == "both" else (shared,)
    return sum(_covariance(getattr(first, kind), getattr(second, kind)) for kind in kinds)


def _covariance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if first.shape != second.shape:
        raise UserError(
            f"Expected two AUROCs of the same samples, but got {len(first)} and {len(second)}. "
            "Score the same rows with both detectors, or say which kind of sample is shared."
        )
    return float(np.cov(first, second)[0, 1]) / len(first) if len(first) > 1 else NAN


def delong_difference(first: Placements, second: Placements) -> Estimate:
    """AUROC of ``first`` minus that of ``second`` on the same samples, with DeLong's paired 95% interval."""
    variance = (
        delong_covariance(first, first) + delong_covariance(second, second) - 2 * delong_covariance(first, second)
    )
    difference = first.auroc - second.auroc
    half = Z * sqrt(max(variance, 0.0)) if not isnan(variance) else NAN
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return Estimate(difference, *((NAN, NAN) if isnan(half) else (low, high)), len(first.id) + len(first.ood))


def check_identities(
    known: IdScores, ood_scores: ArrayLike, parts: ArrayLike | None = None, tolerance: float = 1e-12
) -> None:
    """The two identities that every run checks on itself.

    ``AUROC = acc * AUROC_correct + (1 - acc) * AUROC_incorrect`` (where ``correct`` is known; a term of weight 0 is
    dropped), and ``AUROC of a pooled OOD set = size-weighted mean of its parts' AUROCs`` (where it has parts).

    Parameters
    ----------
    known : IdScores
    ood_scores : array [m]
    parts : array of names [m], optional
        The part of the set that each OOD sample belongs to.

    Raises
    ------
    UserError
        ``parts`` has another length than the scores.
    OutfieldError
        An identity is off by more than ``tolerance``.

    Examples
    --------
    >>> scores = IdScores([0.1, 0.5, 0.9], correct=[True, True, False])
    >>> check_identities(scores, [0.4, 0.9, 0.2], parts=["noise", "blobs", "noise"])
    """
    ranking = known.against(ood_scores)
    if known.correct is not None:
        _check("split by right and wrong predictions", ranking.auroc, _by_correctness(ranking), tolerance)
    if parts is not None:
        pooled = _by_part(known, np.asarray(ood_scores), np.asarray(parts))
        _check("pooled from the parts of its OOD set", ranking.auroc, pooled, tolerance)


def _by_correctness(ranking: Ranking) -> float:
    parts = [ranking.id.part(flag) for flag in (True, False) if ranking.id.count(flag)]
    return sum(part.mass * Ranking(part, ranking.ood).auroc for part in parts) / ranking.id.mass


def _by_part(known: IdScores, scores: Scores, parts: NDArray[Any]) -> float:
    if parts.shape != scores.shape:
        raise UserError(
            f"Expected a part for each of {len(scores)} OOD scores, but got {list(parts.shape)}. "
            "Pass the parts of the samples that were scored."
        )
    found = [scores[parts == part] for part in np.unique(parts)]
    return sum(len(some) * known.against(some).auroc for some in found) / len(scores)


def _check(what: str, whole: float, composed: float, tolerance: float) -> None:
    if not abs(whole - composed) <= tolerance:
        raise OutfieldError(
            f"Expected the AUROC {what} to equal the whole, {whole:.15g}, but got {composed:.15g}. "
            "Scores, labels or parts of different rows were mixed; please report this."
        )

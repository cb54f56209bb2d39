"""Which detector to take when the OOD data to come is unknown: chosen on some OOD sets, judged on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats as theory

from outfield.errors import UserError, with_and
from outfield.stats import intervals
from outfield.stats.base import Result
from outfield.stats.ranks import ranks
from outfield.stats.units import Panel, panel, unit_means
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


TIE = 1e-12
"""Means that differ by less tie exactly: the rest is rounding."""
LEAST_UNITS_TO_HALVE = 4


@dataclass(frozen=True, eq=False)
class Recommendation(Result):
    """The detector with the best worst-case mean rank, and what the same rule earns on sets it did not see.

    ``worst_rank`` of a detector is its largest mean rank (over units) among the OOD sets, ``worst_set`` where that is
    (all that tie), ``mean_value`` its mean value over OOD sets, each counting once.
    ``chosen[set]`` is what the rule picks without that set; ``held_out`` the mean over left-out sets
    of its mean rank there, ``held_out_value`` of its value there, and ``optimism`` the rank that choosing and judging
    on the same sets would hide: all three of what was chosen here, for units to come. ``stability`` is how often
    two halves of the units, each choosing for itself, pick the same detector; NaN below four units.

    Detectors that tie exactly are chosen together: ``safest`` and ``best_by_mean`` are sets, of ``chosen`` they are
    joined by "and", and what they earn is the mean over them. ``best`` is the first of ``safest`` by name.

    Examples
    --------
    >>> auroc = np.array([[[0.9, 0.7], [0.6, 0.8], [0.9, 0.8]]] * 3)
    >>> found = recommend(auroc, detectors=["knn", "msp"], sets=["near", "far", "noise"], draws=20)
    >>> found.safest, found.worst_set
    (('knn', 'msp'), {'knn': 'far', 'msp': 'near and noise'})
    """

    best: str
    worst_rank: dict[str, Estimate]
    chosen: dict[str, str]
    held_out: Estimate
    held_out_value: Estimate
    optimism: Estimate
    stability: float
    worst_set: dict[str, str]
    mean_value: dict[str, Estimate]
    best_by_mean: tuple[str, ...]

    @property
    def safest(self) -> tuple[str, ...]:
        """The detectors with the best worst-case mean rank: several where they tie exactly."""
        least = self.worst_rank[self.best].value
        return tuple(sorted(name for name, one in self.worst_rank.items() if one.value <= least + TIE))

    @property
    def stability_sentence(self) -> str:
        """Whether other units would lead to the same choice."""
        if np.isnan(self.stability):
            return f"Too few units ({self.n_units}) to say whether others would lead to the same choice."
        of = f"{self.n_units // 2} of the {self.n_units} units"
        return f"Two halves ({of} each), choosing apart, pick the same detector in {self.stability:.0%} of splits."

    def frame(self) -> pl.DataFrame:
        """Detectors by worst-case mean rank."""
        import polars as pl

        rows = [
            {"detector": k, "worst_mean_rank": e.value, "low": e.low, "high": e.high}
            for k, e in self.worst_rank.items()
        ]
        return pl.DataFrame(rows).sort("worst_mean_rank", "detector")

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        ordered = dict(sorted(self.worst_rank.items(), key=lambda item: item[1].value))
        return _plots.estimates(ordered, title="Worst-case mean rank over OOD sets (1 is best)")


def recommend(
    data: Any,
    *,
    detectors: Sequence[str] = (),
    sets: Sequence[str] = (),
    metric: str = "auroc",
    higher_is_better: bool = True,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Recommendation:
    """The detector with the best worst-case mean rank; leave-one-OOD-set-out says what that is worth.

    Detectors are ranked within every (model, OOD set); ranks are averaged over units; a detector is as good as on its
    worst OOD set. To judge the rule, each OOD set is left out of the choice in turn, and the detector
    chosen without it is scored on it.

    Intervals are Student's over units (strategies where seeds repeat them). A largest mean rank lies between the
    largest lower end over sets, each end at a share of the error (Bonferroni), and the largest upper end: resampling
    a maximum covers far too rarely where sets or detectors are close. What was picked for looking good may be worse:
    the upper end of the safest detector's rank and the worse ends of ``held_out`` and ``held_out_value`` are
    Bonferroni's over all detectors. A mean rank's error is at least what one exchange of neighbours would make.

    Parameters
    ----------
    data : Panel with axes (ood, detector), array [models, sets, detectors], or rows
    detectors, sets : names, for an array
    metric : the metric of rows
    draws : how many times the units are halved for ``stability``

    Raises
    ------
    UserError
        Fewer than two detectors, OOD sets or units; cells missing not at random.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> auroc = rng.normal(0.8, 0.02, (10, 4, 3)) + np.array([0.1, 0.0, 0.05])
    >>> found = recommend(auroc, detectors=["knn", "msp", "vim"], sets=["a", "b", "c", "d"])
    >>> found.best, found.chosen["a"], found.n_units
    ('knn', 'knn', 10)
    """
    source = _panel(data, detectors, sets, metric)
    names, oods = source.axes["detector"], source.axes["ood"]
    if len(names) < 2 or len(oods) < 2 or source.n_units < 2:
        got = f"{len(names)} detectors, {len(oods)} OOD sets and {source.n_units} units"
        raise UserError(f"Expected at least two detectors, OOD sets and units, but got {got}. Add rows.")
    rank = unit_means(ranks(source.values, higher_is_better=higher_is_better), source.group)
    sign = 1 if higher_is_better else -1
    stable = _stability(rank, draws, seed)
    return _recommendation(rank, names, oods, source, sign=sign, confidence=confidence, stability=stable)


def _panel(data: Any, detectors: Sequence[str], sets: Sequence[str], metric: str) -> Panel:
    if isinstance(data, Panel):
        return data.sound
    if not isinstance(data, np.ndarray):
        return panel(data, ("ood", "detector"), metric=metric).sound
    names = tuple(detectors) or tuple(f"detector {i}" for i in range(data.shape[2]))
    oods = tuple(sets) or tuple(f"set {i}" for i in range(data.shape[1]))
    models = tuple(map(str, range(len(data))))
    return Panel(data, models, models, np.arange(len(data)), "model", {"ood": oods, "detector": names})


def _least(worst: Array) -> Array:
    """The share of each detector in the choice, [..., detectors]: all of the least share it alike."""
    least = worst <= worst.min(axis=-1, keepdims=True) + TIE
    return np.asarray(least / least.sum(axis=-1, keepdims=True))


def _stability(rank: Array, draws: int, seed: int) -> float:
    """Mean share of the choice that two halves of the units have in common, of ranks [units, sets, detectors]."""
    units, half = len(rank), len(rank) // 2
    if units < LEAST_UNITS_TO_HALVE:
        return float("nan")
    order = np.random.default_rng(seed).random((draws, units)).argsort(axis=1)
    halves = (order < half, order >= units - half)
    flat = rank.reshape(units, -1)
    picks = [_least((part / half @ flat).reshape(draws, *rank.shape[1:]).max(axis=1)) for part in halves]
    return float(np.minimum(*picks).sum(axis=1).mean())


def _half_width(values: Array, tail: float | Array, least: float = 0.0) -> Array:
    """Student's half width of the mean over units of [units, ...] with ``tail`` beyond; the error is at least that."""
    units = len(values)
    error = np.maximum(values.std(axis=0, ddof=1) / np.sqrt(units), least)
    return np.asarray(theory.t.isf(tail, units - 1) * error)


def _worst_ends(rank: Array, best: Array, confidence: float) -> tuple[Array, Array]:
    """Ends of every detector's largest mean rank over sets; ranks [units, sets, detectors]."""
    units, sets, detectors = rank.shape
    tail, mean = (1 - confidence) / 2, rank.mean(axis=0)
    tails = np.where(best > 0, tail / detectors, tail)
    low = mean - _half_width(rank, tail / sets, 1 / units)
    high = mean + _half_width(rank, tails, 1 / units)
    return np.clip(low.max(axis=0), 1, detectors), np.clip(high.max(axis=0), 1, detectors)


def _recommendation(
    rank: Array,
    names: Sequence[str],
    oods: Sequence[str],
    source: Panel,
    *,
    sign: int,
    confidence: float,
    stability: float,
) -> Recommendation:
    """Of unit means of ranks [units, sets, detectors]."""
    mean, values, units = rank.mean(axis=0), source.means, source.n_units
    worst = mean.max(axis=0)
    best = _least(worst)
    chosen = np.stack([_least(np.delete(mean, s, axis=0).max(axis=0)) for s in range(len(mean))])
    there = (chosen * rank).sum(axis=2).mean(axis=1)
    at = mean >= worst - TIE
    ends = np.transpose(_worst_ends(rank, best, confidence))
    tail, exchanged = (1 - confidence) / 2, 1 / rank[:, :, 0].size

    def over_units(
        each: Array,
        tails: tuple[float, float] = (tail, tail),
        least: float = 0.0,
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Estimate:
        value, halves = float(each.mean()), [float(_half_width(each, one, least)) for one in tails]
        ends = np.clip((value - halves[0], value + halves[1]), *bounds)
        return intervals.estimate(value, ends, units, confidence=confidence)

    flattered = (tail / len(names), tail) if sign > 0 else (tail, tail / len(names))

    def named(shares: Array) -> tuple[str, ...]:
        return tuple(sorted(name for name, share in zip(names, shares, strict=True) if share))

    return Recommendation(
        best=named(best)[0],
        worst_rank={
            name: intervals.estimate(worst[i], ends[i], units, confidence=confidence) for i, name in enumerate(names)
        },
        chosen={ood: " and ".join(named(chosen[i])) for i, ood in enumerate(oods)},
        held_out=over_units(there, (tail, tail / len(names)), exchanged, (1, len(names))),
        held_out_value=over_units((chosen * values).sum(axis=2).mean(axis=1), flattered),
        optimism=over_units(
            there - (best * rank).sum(axis=2).mean(axis=1), (tail / len(names), tail / len(names)), exchanged
        ),
        stability=stability,
        worst_set={
            name: with_and([ood for ood, seen in zip(oods, at[:, i], strict=True) if seen])
            for i, name in enumerate(names)
        },
        mean_value={name: over_units(values[:, :, i].mean(axis=1)) for i, name in enumerate(names)},
        best_by_mean=named(_least(-sign * values.mean(axis=(0, 1)))),
        level=source.level,
        n_units=units,
        notes=source.notes,
        correction=f"Bonferroni: lower ends over {len(oods)} sets, the best's upper end over {len(names)} detectors",
    )

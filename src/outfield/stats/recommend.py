"""Which detector to take when the OOD data to come is unknown: chosen on some OOD sets, judged on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError, with_and
from outfield.stats import intervals
from outfield.stats.base import Result
from outfield.stats.ranks import ranks
from outfield.stats.units import Panel, panel, resample_weights, unit_means
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


TIE = 1e-12
"""Means that differ by less tie exactly: the rest is rounding."""


@dataclass(frozen=True, eq=False)
class Recommendation(Result):
    """The detector with the best worst-case mean rank, and what the same rule earns on sets it did not see.

    ``worst_rank`` of a detector is its largest mean rank (over units) among the OOD sets, ``worst_set`` where that is
    (all that tie), ``mean_value`` its mean value over OOD sets, each counting once.
    ``chosen[set]`` is what the rule picks without that set; ``held_out`` the mean over left-out sets
    of its mean rank there, ``held_out_value`` of its value there, ``optimism`` the rank that choosing and judging on
    the same sets would hide, and ``stability`` the share of resamples that pick the same detector.

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
    chosen without it is scored on it. Intervals resample units (strategies, then seeds).

    Parameters
    ----------
    data : Panel with axes (ood, detector), array [models, sets, detectors], or rows
    detectors, sets : names, for an array
    metric : the metric of rows

    Raises
    ------
    UserError
        Fewer than two detectors, OOD sets or units.

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
    rank = ranks(source.values, higher_is_better=higher_is_better)
    whole = _Judged.of(_unit_mean(rank, source), _unit_mean(source.values, source))
    samples = _Judged.join([_Judged.of(r, v) for r, v in _draws(rank, source, draws, seed)])
    sign = 1 if higher_is_better else -1
    return _recommendation(whole, samples, names, oods, source, sign=sign, confidence=confidence)


def _unit_mean(values: Array, source: Panel) -> Array:
    """Mean over units of [models, sets, detectors], with a leading axis of one."""
    return np.asarray(unit_means(values, source.group).mean(axis=0)[None])


def _panel(data: Any, detectors: Sequence[str], sets: Sequence[str], metric: str) -> Panel:
    if isinstance(data, Panel):
        return data
    if not isinstance(data, np.ndarray):
        return panel(data, ("ood", "detector"), metric=metric)
    names = tuple(detectors) or tuple(f"detector {i}" for i in range(data.shape[2]))
    oods = tuple(sets) or tuple(f"set {i}" for i in range(data.shape[1]))
    models = tuple(map(str, range(len(data))))
    return Panel(data, models, models, np.arange(len(data)), "model", {"ood": oods, "detector": names})


@dataclass(frozen=True, eq=False)
class _Judged:
    """The rule applied to mean ranks [b, sets, detectors]; what is chosen is a share for each detector."""

    worst: Array
    best: Array
    chosen: Array
    held_out: Array
    value: Array
    optimism: Array
    at: Array
    mean: Array

    @classmethod
    def of(cls, rank: Array, values: Array) -> _Judged:
        worst = rank.max(axis=1)
        best = _least(worst)
        chosen = np.stack([_least(np.delete(rank, s, axis=1).max(axis=1)) for s in range(rank.shape[1])], axis=1)
        there = (chosen * rank).sum(axis=2).mean(axis=1)
        earned = (chosen * values).sum(axis=2).mean(axis=1)
        seen = (best[:, None] * rank).sum(axis=2).mean(axis=1)
        at = rank >= worst[:, None] - TIE
        return cls(worst, best, chosen, there, earned, there - seen, at, values.mean(axis=1))

    @classmethod
    def join(cls, parts: Sequence[_Judged]) -> _Judged:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def _least(worst: Array) -> Array:
    """The share of each detector in the choice, [..., detectors]: all of the least share it alike."""
    least = worst <= worst.min(axis=-1, keepdims=True) + TIE
    return np.asarray(least / least.sum(axis=-1, keepdims=True))


def _draws(rank: Array, source: Panel, draws: int, seed: int) -> Any:
    stacked = np.concatenate([rank, source.values], axis=2).reshape(len(rank), -1)
    shape = (rank.shape[1], 2 * rank.shape[2])
    for mix in resample_weights(source.group, draws, seed=seed, width=stacked.shape[1]):
        mean = (mix.mean(axis=1) @ stacked).reshape(-1, *shape)
        yield mean[..., : rank.shape[2]], mean[..., rank.shape[2] :]


def _recommendation(
    whole: _Judged,
    samples: _Judged,
    names: Sequence[str],
    oods: Sequence[str],
    source: Panel,
    *,
    sign: int,
    confidence: float,
) -> Recommendation:
    def estimate(value: Array, drawn: Array) -> Estimate:
        low, high = intervals.resampled(value, drawn, kind="percentile", confidence=confidence)
        return intervals.estimate(float(value), (low, high), source.n_units, confidence=confidence)

    def named(shares: Array) -> tuple[str, ...]:
        return tuple(sorted(name for name, share in zip(names, shares, strict=True) if share))

    means = whole.mean[0]
    return Recommendation(
        best=named(whole.best[0])[0],
        worst_rank={name: estimate(whole.worst[0, i], samples.worst[:, i]) for i, name in enumerate(names)},
        chosen={ood: " and ".join(named(whole.chosen[0, i])) for i, ood in enumerate(oods)},
        held_out=estimate(whole.held_out[0], samples.held_out),
        held_out_value=estimate(whole.value[0], samples.value),
        optimism=estimate(whole.optimism[0], samples.optimism),
        stability=float(samples.best[:, whole.best[0] > 0].sum(axis=1).mean()),
        worst_set={
            name: with_and([ood for ood, at in zip(oods, whole.at[0, :, i], strict=True) if at])
            for i, name in enumerate(names)
        },
        mean_value={name: estimate(means[i], samples.mean[:, i]) for i, name in enumerate(names)},
        best_by_mean=named(_least(-sign * means)),
        level=source.level,
        n_units=source.n_units,
        notes=source.notes,
        correction="none (leave-one-OOD-set-out protocol)",
    )

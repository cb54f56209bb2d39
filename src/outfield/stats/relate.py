"""How two measures of the same units go together: Spearman, Kendall, Pearson, accuracy on the line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import POOLED, Level, Result, paired, vector
from outfield.stats.units import resample_weights, unit_means
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl


@dataclass(frozen=True, eq=False)
class Correlation(Result):
    """A correlation with its interval and p-value.

    ``kind`` is spearman, kendall or pearson; ``interval`` says how the interval was made.

    Examples
    --------
    >>> found = spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    >>> found.kind, round(found.estimate.value, 2), round(found.p, 3), found.interval
    ('spearman', 0.9, 0.037, 'bonett-wright')
    """

    kind: str
    estimate: Estimate
    p: float
    interval: str
    x: Array
    y: Array
    names: tuple[str, ...] = ()

    def plot(self) -> alt.TopLevelMixin:
        """The units as points, names on hover."""
        from outfield.stats import _plots

        return _plots.scatter(self.x, self.y, self.names, title=f"{self.kind}: {self.estimate}")


def spearman(
    x: Any,
    y: Any,
    *,
    groups: Any = None,
    pooled: bool = False,
    interval: Literal["bonett-wright", "bootstrap"] = "bonett-wright",
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    names: Sequence[str] = (),
) -> Correlation:
    """Spearman's rank correlation of two measures of the same units.

    p by Student's t, but no less than 2 / n!, the least that a permutation test of n units can give.

    Parameters
    ----------
    x, y : vectors [n]
    groups : vector [n], optional
        The unit (strategy) of each row: its rows are averaged first, and n counts the groups.
    pooled : bool
        Take the rows as units although ``groups`` repeat them: the usual way, kept for comparison.
    interval : ``bonett-wright`` (closed form) or ``bootstrap`` (units, then rows within them)
    confidence, draws, seed : of the interval
    names : names of the units, shown on hover

    Raises
    ------
    UserError
        Fewer than four units, lengths that differ, or a constant column.

    Examples
    --------
    >>> found = spearman([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5])
    >>> print(found.estimate, found.level)
    0.886 [0.066, 0.992] (n = 6) model
    """
    return _correlate(
        "spearman", x, y, groups=groups, pooled=pooled, interval=interval, confidence=confidence, draws=draws,
        seed=seed, names=names,
    )  # fmt: skip


def kendall(
    x: Any, y: Any, *, groups: Any = None, pooled: bool = False,
    interval: Literal["fieller", "bootstrap"] = "fieller", confidence: float = 0.95,
    draws: int = 2000, seed: int = 0, names: Sequence[str] = (),
) -> Correlation:  # fmt: skip
    """Kendall's tau-b; interval by Fisher z with ``se = sqrt(0.437 / (n - 4))`` [1].

    Parameters and errors as in :func:`spearman`, but at least five units.

    Examples
    --------
    >>> round(kendall([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]).estimate.value, 3)
    0.733

    References
    ----------
    [1] Fieller, Hartley, Pearson, Tests for rank correlation coefficients I, Biometrika 1957.
    """
    return _correlate(
        "kendall", x, y, groups=groups, pooled=pooled, interval=interval, confidence=confidence, draws=draws, seed=seed,
        names=names,
    )  # fmt: skip


def pearson(
    x: Any, y: Any, *, groups: Any = None, pooled: bool = False,
    interval: Literal["fisher", "bootstrap"] = "fisher", confidence: float = 0.95,
    draws: int = 2000, seed: int = 0, names: Sequence[str] = (),
) -> Correlation:  # fmt: skip
    """Pearson's correlation; interval by Fisher z with ``se = 1 / sqrt(n - 3)``.

    Parameters and errors as in :func:`spearman`.

    Examples
    --------
    >>> print(pearson([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]).estimate)
    0.886 [0.264, 0.987] (n = 6)
    """
    return _correlate(
        "pearson", x, y, groups=groups, pooled=pooled, interval=interval, confidence=confidence, draws=draws, seed=seed,
        names=names,
    )  # fmt: skip


_TESTS: dict[str, Callable[..., Any]] = {
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
    "pearson": stats.pearsonr,
}
_LEAST = {"spearman": 4, "kendall": 5, "pearson": 4}


def _correlate(
    kind: str, x: Any, y: Any, *, groups: Any, pooled: bool, interval: str, confidence: float, draws: int, seed: int,
    names: Sequence[str],
) -> Correlation:  # fmt: skip
    (rows_x, rows_y), keep, notes = paired(x, y)
    group, labels = _groups(groups, keep, names)
    level, n, notes = _level(group, groups is not None, pooled, notes)
    units_x, units_y = (
        (rows_x, rows_y) if level != "strategy" else (unit_means(rows_x, group), unit_means(rows_y, group))
    )
    _, _, _ = paired(units_x, units_y, least=_LEAST[kind])
    value, p = map(float, _TESTS[kind](units_x, units_y))
    p = max(p, 2 / math.factorial(min(len(units_x), 170))) if kind == "spearman" else p
    if interval == "bootstrap":
        samples = _resampled(kind, rows_x, rows_y, group, draws=draws, seed=seed)
        ends = intervals.resampled(value, samples, kind="bc", confidence=confidence)
    else:
        ends = np.array(_closed(kind, value, len(units_x), confidence))
    found = intervals.estimate(value, ends, len(units_x), confidence=confidence)
    return Correlation(
        kind, found, p, interval, units_x, units_y, labels,
        level=level, n_units=n, notes=notes,
    )  # fmt: skip


def _groups(groups: Any, keep: Array, names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    if groups is None:
        kept = tuple(name for name, stays in zip(names, keep, strict=True) if stays) if len(names) else ()
        return np.arange(int(keep.sum())), kept
    labels, group = np.unique(np.asarray(groups).astype(str)[keep], return_inverse=True)
    return group, tuple(labels.tolist())


def _level(group: Array, given: bool, pooled: bool, notes: tuple[str, ...]) -> tuple[Level, int, tuple[str, ...]]:
    units = int(group.max()) + 1
    if not given or units == len(group):
        return "model", units, notes
    if pooled:
        return "pooled", units, (*notes, f"{POOLED} Here {len(group)} rows stand for {units} units.")
    return "strategy", units, notes


def _closed(kind: str, value: float, n: int, confidence: float) -> tuple[float, float]:
    if kind == "spearman":
        return intervals.bonett_wright(value, n, confidence=confidence)
    se = np.sqrt(0.437 / (n - 4)) if kind == "kendall" else 1 / np.sqrt(n - 3)
    return intervals.fisher(value, float(se), confidence=confidence)


def _resampled(kind: str, x: Array, y: Array, group: Array, *, draws: int, seed: int) -> Array:
    both = np.stack([x, y], axis=1)
    samples = np.concatenate([w @ both for w in resample_weights(group, draws, seed=seed, width=2)])
    found = correlations(samples[..., 0], samples[..., 1], kind)
    return found[np.isfinite(found)]


def correlations(x: Array, y: Array, kind: str = "spearman") -> Array:
    """Correlation along the last axis of two stacks [..., n]; NaN where one is constant.

    Examples
    --------
    >>> correlations(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 9.0, 3.0]])).tolist()
    [0.5]
    """
    if kind == "kendall":
        flat = zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), strict=True)
        return np.array([stats.kendalltau(a, b)[0] for a, b in flat]).reshape(x.shape[:-1])
    if kind == "spearman":
        x, y = stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1)
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


@dataclass(frozen=True, eq=False)
class LeftOut(Result):
    """A correlation again and again, each time without one family (category) of units.

    Examples
    --------
    >>> found = leave_one_family_out(range(8), [1, 0, 3, 2, 5, 4, 7, 6], ["a", "b"] * 4)
    >>> found.frame().select("left_out", "n").rows(), found.carried_by
    ([('none', 8), ('a', 4), ('b', 4)], ('a', 'b'))
    """

    whole: Correlation
    without: dict[str, Correlation]
    skipped: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        import polars as pl

        rows = [{"left_out": "none", **_row(self.whole)}]
        rows += [{"left_out": family, **_row(found)} for family, found in self.without.items()]
        return pl.DataFrame(rows)

    def plot(self) -> alt.TopLevelMixin:
        """A strip: the correlation, and each one without a family."""
        from outfield.stats import _plots

        named = {"all": self.whole.estimate, **{f"without {k}": v.estimate for k, v in self.without.items()}}
        return _plots.estimates(named, title=f"{self.whole.kind}, leaving one family out", rule=0.0)

    @property
    def carried_by(self) -> tuple[str, ...]:
        """Families without which the sign turns, or an interval away from 0 comes to hold 0."""
        return tuple(family for family, found in self.without.items() if _changes(self.whole, found))


def _row(found: Correlation) -> dict[str, Any]:
    estimate = found.estimate
    return {"n": estimate.n, "value": estimate.value, "low": estimate.low, "high": estimate.high, "p": found.p}


def _changes(whole: Correlation, found: Correlation) -> bool:
    clear = whole.estimate.low > 0 or whole.estimate.high < 0
    holds_zero = found.estimate.low <= 0 <= found.estimate.high
    turned = np.sign(found.estimate.value) != np.sign(whole.estimate.value)
    return bool(turned and (clear or not holds_zero)) or (clear and holds_zero)


def leave_one_family_out(
    x: Any, y: Any, families: Any, *, measure: Callable[..., Correlation] = spearman, **options: Any
) -> LeftOut:
    """A correlation with every family left out in turn: does one family carry it?

    Parameters
    ----------
    x, y : vectors [n]
    families : vector [n] of names
    measure : :func:`spearman`, :func:`kendall` or :func:`pearson`
    options : passed to ``measure``; ``groups`` and ``names`` are cut with the rows

    Raises
    ------
    UserError
        As ``measure``; families of another length. A family whose absence leaves too few units is
        skipped and named in ``skipped``.

    Examples
    --------
    >>> x, y = [1, 2, 3, 4, 5, 9, 10, 11], [5, 4, 3, 2, 1, 9, 10, 11]
    >>> found = leave_one_family_out(x, y, ["a"] * 5 + ["b"] * 3)
    >>> round(found.whole.estimate.value, 2), round(found.without["b"].estimate.value, 2), found.carried_by
    (0.52, -1.0, ('b',))
    """
    labels = np.asarray([str(each) for each in families])
    first, second = vector(x, "x"), vector(y, "y")
    if len(labels) != len(first):
        raise UserError(f"Expected a family for each of {len(first)} rows, but got {len(labels)}. Pass one per row.")
    whole = measure(first, second, **options)
    without, skipped = {}, []
    for family in dict.fromkeys(labels.tolist()):
        keep = labels != family
        cut = {key: np.asarray(options[key])[keep] for key in ("groups", "names") if len(options.get(key, ()) or ())}
        try:
            without[family] = measure(first[keep], second[keep], **{**options, **cut})
        except UserError:
            skipped.append(family)
    notes = (f"Too few units without {', '.join(skipped)}.",) if skipped else ()
    return LeftOut(
        whole, without, tuple(skipped), level=whole.level, n_units=whole.n_units, notes=(*whole.notes, *notes),
        correction="none (a sensitivity analysis, not a test)",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Line(Result):
    """Accuracy on the line: the fit in probit scale and each model's distance from it.

    Examples
    --------
    >>> found = accuracy_on_the_line([0.6, 0.7, 0.8, 0.9], [0.5, 0.6, 0.7, 0.9], names=["a", "b", "c", "d"])
    >>> found.frame()["effective_robustness"].round(2).to_list()
    [0.03, -0.01, -0.04, 0.01]
    """

    slope: Estimate
    intercept: float
    r2: float
    residuals: Array
    x: Array
    y: Array
    names: tuple[str, ...] = ()
    clipped: int = 0

    def frame(self) -> pl.DataFrame:
        """A row per model: both accuracies, the accuracy expected by the line, effective robustness."""
        import polars as pl

        expected = stats.norm.cdf(stats.norm.ppf(self.y) - self.residuals)
        names = self.names or tuple(map(str, range(len(self.x))))
        return pl.DataFrame(
            {"model": names, "id": self.x, "ood": self.y, "expected": expected, "residual_probit": self.residuals,
             "effective_robustness": self.y - expected}
        )  # fmt: skip

    def plot(self) -> alt.TopLevelMixin:
        """Both axes in probit scale, the line with its band, names on hover."""
        from outfield.stats import _plots

        title = f"slope {self.slope}, R2 {self.r2:.3f}"
        return _plots.line(self.frame(), self.slope, self.intercept, title=title)


def accuracy_on_the_line(
    id_accuracy: Any, ood_accuracy: Any, *, names: Sequence[str] = (), confidence: float = 0.95
) -> Line:
    """Line through probit-scaled accuracies, ``probit(ood) = a + b probit(id)``, least squares [1].

    The residual of a model is its effective robustness [2]: in probit units, and in accuracy as the
    difference to the accuracy that the line expects. Accuracies of 0 and 1 have no probit: they are
    moved to 1e-6 and 1 - 1e-6, counted and noted.

    Parameters
    ----------
    id_accuracy, ood_accuracy : vectors [n], shares in [0, 1] or percent (noticed, and noted)

    Raises
    ------
    UserError
        Values outside both scales, fewer than four models, a constant column.

    Examples
    --------
    >>> found = accuracy_on_the_line([0.6, 0.7, 0.8, 0.9], [0.4, 0.5, 0.65, 0.78])
    >>> round(found.slope.value, 3), round(found.r2, 3)
    (1.014, 0.996)

    References
    ----------
    [1] Miller et al., Accuracy on the line, ICML 2021.
    [2] Taori et al., Measuring robustness to natural distribution shifts in image classification, NeurIPS 2020.
    """
    (x, y), keep, notes = paired(id_accuracy, ood_accuracy, names=("id_accuracy", "ood_accuracy"))
    x, said_x = as_share(x, "id_accuracy")
    y, said_y = as_share(y, "ood_accuracy")
    (inner_x, n_x), (inner_y, n_y) = clip_share(x, 1e-6), clip_share(y, 1e-6)
    u, v = stats.norm.ppf(inner_x), stats.norm.ppf(inner_y)
    fit = stats.linregress(u, v)
    width = stats.t.ppf(0.5 + confidence / 2, len(u) - 2) * fit.stderr
    slope = Estimate(float(fit.slope), float(fit.slope - width), float(fit.slope + width), n=len(u), level=confidence)
    clipped = n_x + n_y
    said = (f"Moved {clipped} accuracies of 0 or 1 inside by 1e-6 for the probit.",) if clipped else ()
    kept = tuple(name for name, stays in zip(names, keep, strict=True) if stays) if len(names) else ()
    return Line(
        slope, float(fit.intercept), float(fit.rvalue**2), v - fit.intercept - fit.slope * u, inner_x, inner_y, kept,
        clipped, level="model", n_units=len(u), notes=(*notes, *said_x, *said_y, *said),
    )  # fmt: skip


def as_share(values: Array, name: str = "values") -> tuple[Array, tuple[str, ...]]:
    """Shares in [0, 1]: percentages are noticed (some value above 1), divided by 100, and noted.

    Examples
    --------
    >>> as_share(np.array([0.5, 76.1]), "accuracy")
    (array([0.005, 0.761]), ('Read accuracy as percent (largest value 76.1) and divided by 100.',))
    """
    top, bottom = float(values.max()), float(values.min())
    if bottom < 0 or top > 100:
        raise UserError(f"Expected {name} in [0, 1] or percent, but got {bottom:g} to {top:g}. Pass a share.")
    if top <= 1:
        return values, ()
    return values / 100, (f"Read {name} as percent (largest value {top:g}) and divided by 100.",)


def clip_share(values: Array, margin: float) -> tuple[Array, int]:
    """Shares moved into [margin, 1 - margin], and how many moved.

    Examples
    --------
    >>> clip_share(np.array([0.0, 0.5, 1.0]), 0.01)
    (array([0.01, 0.5 , 0.99]), 2)
    """
    inside = np.clip(values, margin, 1 - margin)
    return inside, int((inside != values).sum())

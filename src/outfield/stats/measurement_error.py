"""What the sampling noise of accuracies does to a partial correlation, and how reliable a test set is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Level, Result, paired
from outfield.stats.relate import as_share
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

TOO_FEW_ITEMS = 200


@dataclass(frozen=True, eq=False)
class Corrected(Result):
    """A linear partial correlation, raw and corrected for measurement error of the ID accuracy.

    ``identifiable`` is False where the moments less the noise are none that data could have; the notes say which. Then
    ``corrected`` is the nearest that could be (-1 or 1), or NaN where the ID accuracy has no variance left.

    Examples
    --------
    >>> x = np.linspace(0.4, 0.8, 20)
    >>> found = errors_in_variables(x + np.sin(9 * x) / 50, x + np.cos(9 * x) / 50, x, error_variance=0.1)
    >>> found.identifiable, found.corrected.low, found.corrected.high
    (False, -1.0, 1.0)
    """

    raw: float
    corrected: Estimate
    plain: float
    error_variance: float
    reliability: float
    identifiable: bool
    method: str


def errors_in_variables(
    a: Any,
    b: Any,
    given: Any,
    *,
    correctness: Any = None,
    items: int | None = None,
    error_variance: float | None = None,
    level: Level | None = None,
) -> Corrected:
    """Linear partial correlation given a noisy ID accuracy, corrected for the noise.

    A noisy ID accuracy leaves part of itself in both residuals and fakes a positive partial correlation. The
    correction subtracts its error variance from Var(ID) before the regression:

    * ``correctness`` [T, n]: whether each of n items was right at each of T checkpoints. The same items are scored at
      every checkpoint, so that their noise is shared: ``tr(H S H) / (T - 1)``, S = the covariance of the T
      correctness vectors over items, divided by n, H = centring.
    * ``items``: the binomial form, the mean of ``p (1 - p) / (n - 1)``: only where items differ from row to row, or
      when per-item data is missing (along a trajectory it over-subtracts about twice).
    * ``error_variance``: a known one.

    The interval holds the correlations r that the rows do not rule out, as Fieller's does for a ratio [1]: those where
    ``Var(ID) Cov(a, b) - Cov(a, ID) Cov(b, ID)`` differs from r times the root of the product of the two corrected
    residual variances by no more than Student's quantile of its jackknife error. It is all of [-1, 1] where the noise
    leaves nothing to tell. None along one trajectory, whose points are no sample.

    Raises
    ------
    UserError
        Not exactly one source of the noise; an array of another length; as :func:`partial_correlation`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = rng.uniform(0.4, 0.8, 400)
    >>> seen = rng.binomial(100, true) / 100
    >>> a, b = true + rng.normal(0, 0.03, 400), true + rng.normal(0, 0.03, 400)
    >>> found = errors_in_variables(a, b, seen, items=100)
    >>> round(found.raw, 1), round(found.corrected.value, 1), found.corrected.low < 0 < found.corrected.high
    (0.7, -0.1, True)

    References
    ----------
    [1] Fieller, Some problems in interval estimation, Journal of the Royal Statistical Society B 1954.
    """
    (u, v, x), keep, notes = paired(a, b, given, names=("a", "b", "given"), least=6)
    noise, method, said = _error_variance(x, keep, correctness, items, error_variance)
    moments = np.cov(np.stack([u, v, x]))
    value, why = corrected_partial(moments, noise)
    raw, _ = corrected_partial(moments, 0.0)
    plain = float(np.corrcoef(u, v)[0, 1])
    unit: Level = level or ("run" if correctness is not None else "model")
    low, high = (np.nan, np.nan) if unit == "run" else _accepted(np.stack([u, v, x]), noise)
    return Corrected(
        raw, Estimate(value, low, high, len(u)), plain, noise, float(1 - noise / moments[2, 2]), not why, method,
        level=unit, n_units=1 if unit == "run" else len(u), notes=(*notes, *said, *why),
    )  # fmt: skip


def corrected_partial(moments: Array, noise: float) -> tuple[float, tuple[str, ...]]:
    """Partial correlation of two measures given a third, of their covariances [3, 3], whose last variance has noise.

    And why it is not identifiable, where it is not.

    Examples
    --------
    >>> value, why = corrected_partial(np.array([[2.0, 1.5, 1.0], [1.5, 2.0, 1.0], [1.0, 1.0, 1.2]]), 0.2)
    >>> round(value, 3), why
    (0.5, ())
    """
    both, left = _products(moments[None], noise)
    shared, (first, second) = float(both[0]), left[0]
    if moments[2, 2] <= noise:
        return float("nan"), ("Not identifiable: the noise of the ID accuracy is as large as its variance.",)
    if first <= 0 or second <= 0:
        of = "both measures" if max(first, second) <= 0 else "the first measure" if first <= 0 else "the second measure"
        why = f"Not identifiable: less the noise, the ID accuracy explains all of the variance of {of} and more."
        return float(np.sign(shared)), (why,)
    value = shared / float(np.sqrt(first * second))
    if abs(value) <= 1:
        return value, ()
    why = f"Not identifiable: the corrected correlation is {value:.2f}, beyond {np.sign(value):g}; cut there."
    return float(np.sign(value)), (why,)


def _products(moments: Array, noise: float) -> tuple[Array, Array]:
    """Covariance [n] and variances [n, 2] of what is left of two measures, times the third's true variance."""
    true, slopes = moments[:, 2, 2] - noise, moments[:, :2, 2]
    shared = moments[:, 0, 1] * true - slopes[:, 0] * slopes[:, 1]
    left = np.stack([moments[:, i, i] * true - slopes[:, i] ** 2 for i in range(2)], axis=1)
    return shared, left


def _accepted(rows: Array, noise: float) -> tuple[float, float]:
    """Ends of the partial correlations that rows [3, n] do not rule out."""
    n = rows.shape[1]
    moments, away = np.cov(rows), (rows - rows.mean(axis=1, keepdims=True)).T
    without = ((n - 1) * moments - n / (n - 1) * away[:, :, None] * away[:, None, :]) / (n - 2)
    shared, left = _products(np.concatenate([moments[None], without]), noise)
    scale = np.sqrt(np.clip(left, 0, None).prod(axis=1))
    spread = np.cov(shared[1:], scale[1:], ddof=0) * (n - 1) ** 2 / n
    grid = np.linspace(-1, 1, 401)
    error = np.sqrt(np.clip(spread[0, 0] - 2 * grid * spread[0, 1] + grid**2 * spread[1, 1], 0, None))
    kept = grid[np.abs(shared[0] - grid * scale[0]) <= stats.t.ppf(0.975, n - 1) * error]
    if not len(kept) or moments[2, 2] <= noise or (left[0] <= 0).any():
        return -1.0, 1.0
    step = grid[1] - grid[0]
    return float(max(-1, kept[0] - step)), float(min(1, kept[-1] + step))


def _error_variance(
    x: Array, keep: Array, correctness: Any, items: int | None, known: float | None
) -> tuple[float, str, tuple[str, ...]]:
    if sum(source is not None for source in (correctness, items, known)) != 1:
        raise UserError("Expected exactly one of correctness, items and error_variance. Pass what you have.")
    if known is not None:
        return float(known), "given", ()
    if items is not None:
        note = "Binomial error: right only where items differ from row to row; along a trajectory it over-subtracts."
        return binomial_error(x, items), "binomial", (note, *_few(items))
    table = np.asarray(correctness, dtype=float)
    if table.ndim != 2 or len(table) != len(keep):
        raise UserError(
            f"Expected correctness [{len(keep)}, items], but got shape {table.shape}. One row a checkpoint."
        )
    return item_error(table[keep]), "item covariance", _few(table.shape[1])


def _few(items: int) -> tuple[str, ...]:
    return (f"Only {items} items: fewer than {TOO_FEW_ITEMS} say little.",) if items < TOO_FEW_ITEMS else ()


def item_error(correctness: Array) -> float:
    """Error variance of a trajectory's accuracies, ``tr(H S H) / (T - 1)``, of correctness [T, n].

    Noise that all checkpoints share moves them together and is no error of their differences; H takes it out.
    It equals the mean over items of the variance over time of an item's deviation, and needs O(T n).

    Examples
    --------
    >>> item_error(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]))
    0.0
    """
    checkpoints, n = correctness.shape
    deviation = correctness - correctness.mean(axis=1, keepdims=True)
    centred = deviation - deviation.mean(axis=0, keepdims=True)
    return float((centred**2).sum() / ((n - 1) * n * (checkpoints - 1)))


def binomial_error(accuracy: Any, items: int) -> float:
    """Mean sampling variance of accuracies over ``items`` items each, ``p (1 - p) / (n - 1)``.

    Examples
    --------
    >>> round(binomial_error([0.5], 101), 6)
    0.0025
    """
    values = np.asarray(accuracy, dtype=float)
    shares, said = as_share(values, "accuracy")
    return float((shares * (1 - shares)).mean() / (items - 1) * (1e4 if said else 1.0))


@dataclass(frozen=True, eq=False)
class Reliability(Result):
    """Share of the variance of each test set's accuracies that is not sampling noise.

    Examples
    --------
    >>> reliability({"rte": [0.5, 0.6, 0.7]}, {"rte": 400}).frame().select("set", "items", "method").rows()
    [('rte', 400, 'binomial')]
    """

    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        from outfield.stats import _plots

        rows = self.table.to_dicts()
        return _plots.estimates({row["set"]: Estimate(row["reliability"], n=row["items"]) for row in rows})


def reliability(
    accuracies: dict[str, Any], items: dict[str, int], correctness: dict[str, Any] | None = None
) -> Reliability:
    """Reliability of every test set, ``1 - error variance / variance``; a warning below 200 items.

    Raises
    ------
    UserError
        No sets, or a set without a number of items.

    Examples
    --------
    >>> found = reliability({"rte": [0.5, 0.6, 0.7, 0.8]}, {"rte": 100})
    >>> found.frame()["reliability"].round(2).to_list(), found.notes
    ([0.87], ('rte has only 100 items: its estimate hangs on fewer than 200.',))
    """
    import polars as pl

    if not accuracies:
        raise UserError("Expected the accuracies of at least one test set, but got none. Pass them by name.")
    rows, notes = [], []
    for name, values in accuracies.items():
        if name not in items:
            raise UserError(f"Expected the number of items of {name!r}, but got {sorted(items)}. Add it.")
        table = (correctness or {}).get(name)
        noise = binomial_error(values, items[name]) if table is None else item_error(np.asarray(table, float))
        variance = float(np.var(np.asarray(values, float), ddof=1))
        method = "binomial" if table is None else "item covariance"
        share = 1 - noise / variance if variance else float("nan")
        rows.append(
            {"set": name, "items": items[name], "reliability": share, "error_variance": noise, "method": method}
        )
        if items[name] < TOO_FEW_ITEMS:
            notes.append(f"{name} has only {items[name]} items: its estimate hangs on fewer than {TOO_FEW_ITEMS}.")
    return Reliability(pl.DataFrame(rows), level="sample", n_units=min(items.values()), notes=tuple(notes))

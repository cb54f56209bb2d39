"""The best of many: how much of its lead is luck, and which rows cannot be told apart from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats.base import Result, vector
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

TIE = 1e-12
LEAST = 100
BLOCK = 1 << 21
"""Random numbers that are held at once."""


@dataclass(frozen=True, eq=False)
class Winner(Result):
    """The rows with the best value, and what is left of their lead.

    Parameters
    ----------
    best : tuple of str
        All rows of the best value.
    value : float
    curse : float
        By how much the best of so many is expected to be overrated, when it is that row: the winner's curse.
    shrunken : float
        The best value without it.
    probability : mapping
        Row to the probability that it is truly the best.
    alike : tuple of str
        Rows that cannot be told apart from the best, which are among them: a set that holds the truly best one with
        the stated confidence.
    filled : tuple of str
        Rows without an error of their own: they have the median of the others.

    Examples
    --------
    >>> found = winner([0.90, 0.89, 0.70, 0.60], [0.01] * 4, names=["a", "b", "c", "d"])
    >>> found.best, found.alike, round(found.curse, 3), round(found.probability["a"], 2)
    (('a',), ('a', 'b'), 0.003, 0.77)
    """

    best: tuple[str, ...]
    value: float
    curse: float
    shrunken: float
    probability: dict[str, float]
    alike: tuple[str, ...]
    filled: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        """Rows by their probability to be the best, and whether they can be told apart from it."""
        import polars as pl

        rows = [{"name": k, "probability": p, "alike": k in self.alike} for k, p in self.probability.items()]
        return pl.DataFrame(rows).sort("probability", "name", descending=[True, False])


def winner(
    values: Any,
    errors: Any,
    *,
    names: Sequence[str] = (),
    higher_is_better: bool = True,
    confidence: float = 0.95,
    draws: int = 4000,
    seed: int = 0,
) -> Winner:
    """The best of many rows, whose errors are known, corrected for having been chosen.

    True values are taken as normal about their mean, with the variance of the rows beyond that of their errors. Each
    row's posterior gives the probability to be the best; tables drawn anew about true values of that spread give what
    the best one is overrated by. A row belongs to the set of those alike where no other is better by more than
    ``z`` standard errors of their difference, z one-sided at ``(1 - confidence) / (n - 1)`` [1]. Errors of rows are
    taken as independent and exact; rows measured on the same items differ by less than that, so the set errs by being
    too large.

    Parameters
    ----------
    values, errors : vectors [n]
        Values, and their standard errors; an error of 0 or NaN is not known.
    names : of the rows

    Raises
    ------
    UserError
        Fewer than two rows; errors of less than half of them are known.

    Examples
    --------
    >>> winner([0.8, 0.8, 0.8], [0.01, 0.01, 0.01], names=["a", "b", "c"]).best
    ('a', 'b', 'c')

    References
    ----------
    [1] Hsu, Constrained Simultaneous Confidence Intervals for Multiple Comparisons with the Best, Annals of Statistics
    12, 1984.
    """
    sign = 1 if higher_is_better else -1
    value, error = sign * vector(values), vector(errors, "errors")
    if len(value) < 2 or len(value) != len(error) or not np.isfinite(value).all():
        raise UserError(
            f"Expected two finite values or more, an error each, but got {len(value)} values and {len(error)} errors. "
            "Leave out rows without a value."
        )
    labels = np.asarray(tuple(names) or tuple(f"row {i}" for i in range(len(value))))
    error, unknown = _filled(error)
    best = value >= value.max() - TIE
    truth, posterior, spread = _shrunken(value, error)
    rng = np.random.default_rng(seed)
    chance = np.concatenate([_first(block) for block in _drawn(posterior, spread, draws, rng)]).mean(axis=0)
    curse = _curse(truth, error, best, draws, rng)
    z = stats.norm.isf((1 - confidence) / (len(value) - 1))
    return Winner(
        best=tuple(labels[best].tolist()), value=float(sign * value.max()), curse=curse,
        shrunken=float(sign * (value.max() - curse)),
        probability=dict(zip(labels.tolist(), chance.tolist(), strict=True)),
        alike=tuple(labels[_alike(value, error, float(z))].tolist()), filled=tuple(labels[unknown].tolist()),
        n_units=len(value), correction=f"Bonferroni over {len(value) - 1} rivals",
    )  # fmt: skip


def _filled(error: Array) -> tuple[Array, Array]:
    """Errors, unknown ones as the median of the others; and which were unknown."""
    unknown = ~(np.isfinite(error) & (error > 0))
    if unknown.mean() > 0.5:
        raise UserError(
            f"Expected standard errors of half the rows or more, but {int(unknown.sum())} of {len(error)} are 0 or "
            "missing. Give them with --error."
        )
    return np.where(unknown, np.median(error[~unknown]), error), unknown


def _shrunken(value: Array, error: Array) -> tuple[Array, Array, Array]:
    """True values of the right spread, and each row's posterior mean and standard deviation."""
    between = max(float(np.var(value, ddof=1) - np.mean(error**2)), 0.0)
    kept = between / (between + error**2)
    centre = value.mean()
    return centre + np.sqrt(kept) * (value - centre), centre + kept * (value - centre), np.sqrt(kept) * error


def _drawn(mean: Array, spread: Array, draws: int, rng: np.random.Generator) -> Any:
    rows = max(BLOCK // len(mean), 1)
    for start in range(0, draws, rows):
        yield mean + spread * rng.standard_normal((min(rows, draws - start), len(mean)))


def _first(block: Array) -> Array:
    """The share of the first place in each draw, ties alike."""
    first = block >= block.max(axis=1, keepdims=True) - TIE
    return np.asarray(first / first.sum(axis=1, keepdims=True))


def _curse(truth: Array, error: Array, best: Array, draws: int, rng: np.random.Generator) -> float:
    """Mean over drawn tables of the best value less the true one of its row; those tables in which ``best`` has it.

    Where that is in fewer than ``LEAST`` tables, over all of them.
    """
    drawn = [(block.max(axis=1), block.argmax(axis=1)) for block in _drawn(truth, error, draws, rng)]
    value, at = (np.concatenate(each) for each in zip(*drawn, strict=True))
    own = best[at] if best[at].sum() >= LEAST else np.full(len(at), True)
    return max(float((value - truth[at])[own].mean()), 0.0)


def _alike(value: Array, error: Array, z: float) -> Array:
    """Whether no other row is better by more than z errors of the difference."""
    return np.array([
        (np.delete(value, i) - value[i] <= z * np.hypot(np.delete(error, i), error[i])).all() for i in range(len(value))
    ])  # fmt: skip

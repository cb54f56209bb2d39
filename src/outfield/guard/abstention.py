"""Answer or abstain, with a certified error among the answers: learn then test, in a fixed sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.frames import as_frame, require
from outfield.types import Array, Estimate


@dataclass(frozen=True)
class Selective:
    """Answered is an item whose uncertainty is at most ``threshold``.

    Parameters
    ----------
    threshold : float
    rate, delta : float
        With probability at least 1 - delta over calibrations at most a share ``rate`` of the answers is wrong.
    coverage, error : float
        Shares of calibration items answered, and of these wrong.
    n, answered : int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> u = rng.uniform(size=5000)
    >>> found = select(u, rng.uniform(size=5000) < 0.1 * u, rate=0.03)
    >>> 0.4 < found.coverage < 0.6, found.error < 0.03
    (True, True)
    """

    threshold: float
    rate: float
    delta: float
    coverage: float
    error: float
    n: int
    answered: int

    def error_under(self, share: float, *, accepted: float, error: float = 1.0) -> float:
        """The error among answers once a share of the stream is OOD, which nothing promised.

        ``[(1 - q) a r + q b e] / [(1 - q) a + q b]`` with q the share, a the coverage, r the rate, b the accepted
        share of OOD items and e the error on these (1 where their labels are none of the model's).

        Examples
        --------
        >>> one = Selective(0.5, 0.02, 0.05, 0.8, 0.01, 5000, 4000)
        >>> [round(one.error_under(share, accepted=0.2), 3) for share in (0.01, 0.05, 0.1)]
        [0.022, 0.033, 0.046]
        """
        inside, outside = (1 - share) * self.coverage, share * accepted
        return (inside * self.rate + outside * error) / (inside + outside)


def select(
    uncertainty: Any, wrong: Any, *, rate: float = 0.02, delta: float = 0.05, thresholds: Any = None, steps: int = 100
) -> Selective:
    """The loosest threshold whose error among answers is certified to be at most ``rate`` [1].

    Thresholds are tried from strict to loose, from the first that answers enough items to certify anything,
    ``ln(delta) / ln(1 - rate)``, as long as ``P(Bin(answered, rate) <= errors) <= delta``; the last that passes is
    kept. The order is fixed before, so that no correction for how many were tried is needed.

    Parameters
    ----------
    uncertainty : vector [n], higher is less certain
        Of labelled ID items that neither fit nor selection saw.
    wrong : bool [n]
    thresholds : vector, optional
        Candidates, chosen on other data (the selection split, say). Default: ``steps`` even steps of the range of the
        values; only the range is then taken from the items themselves.

    Raises
    ------
    UserError
        Vectors of other lengths, NaN, or no threshold that can be certified: the message says what is missing.

    Examples
    --------
    >>> select(np.arange(200.0), np.zeros(200, bool), rate=0.05).answered
    200

    References
    ----------
    [1] Angelopoulos, Bates, Candes, Jordan, Lei, Learn then test, arXiv 2110.01052.
    """
    u, e = np.asarray(uncertainty, dtype=float), np.asarray(wrong, dtype=bool)
    if u.ndim != 1 or u.shape != e.shape or not np.isfinite(u).all() or not len(u):
        raise UserError(
            f"Expected finite uncertainties and whether each answer is wrong, but got shapes {u.shape} and {e.shape} "
            f"with {int((~np.isfinite(u)).sum())} values that are not finite. Pass one of each an item."
        )
    tried = np.linspace(u.min(), u.max(), steps + 1) if thresholds is None else np.sort(np.asarray(thresholds, float))
    answered, errors = _counts(u, e, tried)
    least = int(np.ceil(np.log(delta) / np.log1p(-rate)))
    passed = (answered >= least) & (stats.binom.cdf(errors, answered, rate) <= delta)
    last = _last_of_sequence(passed, answered >= least)
    if last < 0:
        raise UserError(
            f"Expected answers with an error that can be certified to be at most {rate:g}, but among {len(u):,} items "
            f"no threshold shows it: the surest {least:,} must be right. Add items, or ask for a higher rate."
        )
    count = int(answered[last])
    return Selective(
        float(tried[last]), rate, delta, count / len(u), float(errors[last]) / count, len(u), count
    )  # fmt: skip


SHARES = (0.01, 0.05, 0.1)
"""Of OOD items in a stream, for which it is told what they do to the promise."""


@dataclass(frozen=True)
class Told:
    """A selection from tables, and how many OOD items it would answer.

    Parameters
    ----------
    found : Selective
    column : str
        The uncertainty.
    ood : Estimate, optional
        Share of OOD items that would be answered.

    Examples
    --------
    >>> one = Told(Selective(0.5, 0.02, 0.05, 0.8, 0.01, 5000, 4000), "score", Estimate(0.2, 0.18, 0.22, 1000))
    >>> print(one.sentences()[-1])
    Of the OOD items 20.0% [18.0%, 22.0%] would be answered. With 1%, 5%, 10% of these in the stream, up to about \
2.2%, 3.3%, 4.6% of the answers are wrong.
    """

    found: Selective
    column: str
    ood: Estimate | None = None

    def sentences(self) -> list[str]:
        """What is promised, what it costs, and what OOD inputs do to it."""
        one, accepted = self.found, 1.0 if self.ood is None else self.ood.value
        errors = ", ".join(f"{one.error_under(share, accepted=accepted):.1%}" for share in SHARES)
        shares = ", ".join(f"{share:.0%}" for share in SHARES)
        answered = (
            "At worst every OOD item is answered."
            if self.ood is None
            else f"Of the OOD items {accepted:.1%} [{self.ood.low:.1%}, {self.ood.high:.1%}] would be answered."
        )
        return [
            f"Answer where {self.column} is at most {one.threshold!r}, else abstain.",
            f"Promised: at most {one.rate:.1%} of the answers to ID items are wrong, with probability "
            f"{1 - one.delta:.0%} over calibrations ({one.n:,} items).",
            f"Of these items {one.coverage:.1%} are answered, and {one.error:.2%} of the answers are wrong.",
            "Not promised: answers to OOD items, which are all wrong.",
            f"{answered} With {shares} of these in the stream, up to about {errors} of the answers are wrong.",
        ]


def of_tables(
    table: Any,
    *,
    uncertainty: str = "score",
    prediction: str = "prediction",
    label: str = "label",
    rate: float = 0.02,
    delta: float = 0.05,
    ood: Any = None,
) -> Told:
    """``select`` on the columns of a table of labelled ID items; with ``ood`` a table of OOD items with uncertainties.

    Parameters
    ----------
    table, ood : path or frame
    uncertainty, prediction, label : str
        Columns; an answer is wrong where prediction and label are not called alike.

    Raises
    ------
    UserError
        No such column, uncertainties that are no numbers, and as ``select``.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"score": range(400), "prediction": ["cat"] * 400, "label": ["cat"] * 399 + ["dog"]})
    >>> of_tables(table, rate=0.02).found.answered
    400
    """
    frame = as_frame(table)
    require(frame, [uncertainty, prediction, label])
    said, true = (frame[name].cast(pl.String).fill_null("") for name in (prediction, label))
    found = select(_numbers(frame, uncertainty), (said != true).to_numpy(), rate=rate, delta=delta)
    if ood is None:
        return Told(found, uncertainty)
    other = as_frame(ood)
    require(other, [uncertainty])
    values = _numbers(other, uncertainty)
    n, answered = len(values), int((values <= found.threshold).sum())
    return Told(found, uncertainty, Estimate(answered / n, *intervals.clopper_pearson(answered, n), n))


def _numbers(frame: pl.DataFrame, name: str) -> Array:
    if not frame[name].dtype.is_numeric() or not len(frame):
        raise UserError(f"Expected numbers in the column {name}, but it holds {frame[name].dtype}. Name another.")
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _counts(u: Array, wrong: Array, thresholds: Array) -> tuple[Array, Array]:
    """How many items each threshold answers, and how many of these are wrong."""
    order = np.argsort(u, kind="stable")
    answered = np.searchsorted(u[order], thresholds, side="right")
    return answered, np.concatenate([[0], np.cumsum(wrong[order])])[answered]


def _last_of_sequence(passed: Array, begun: Array) -> int:
    """The last of the tests that pass without a gap from the first that may be made; -1 where the first fails."""
    if not begun.any():
        return -1
    start = int(np.argmax(begun))
    failed = np.flatnonzero(~passed[start:])
    return start + (int(failed[0]) if len(failed) else len(passed) - start) - 1 if passed[start] else -1

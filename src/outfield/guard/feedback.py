"""What labels that came back say of a guard: certified rates from the random audit, and prediction-powered ones.

Labels that come back for other reasons, because somebody complained say, are no sample: only those of answers that
the service marked at random count.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from outfield.errors import UserError
from outfield.guard.audit import answers
from outfield.guard.row_log import files, rows
from outfield.guard.thresholds import audit_size
from outfield.places import home
from outfield.stats import intervals
from outfield.types import Array, Estimate

OOD = "ood"
"""The label of an input of no class."""
ENOUGH = 15
"""Audited answers for which the flag is wrong, at least, before a normal interval is trusted."""


def certified_rate(hits: int, n: int, *, level: float = 0.95) -> Estimate:
    """A rate with its interval of Clopper and Pearson: it holds for every n.

    Examples
    --------
    >>> print(certified_rate(2, 100))
    0.020 [0.002, 0.070] (n = 100)
    """
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0, level)
    return Estimate(hits / n, *intervals.clopper_pearson(hits, n, confidence=level), n, level)


def prediction_powered_mean(truth: Any, predicted: Any, predicted_others: Any, *, level: float = 0.95) -> Estimate:
    """The mean of what is known of few items and predicted of many, with its interval [1].

    ``mean(predicted_others) - mean(predicted - truth)``, with the standard error
    ``sqrt(var(predicted - truth) / n + var(predicted_others) / N)``. It is right whatever the predictions are worth;
    the better they are, the narrower.

    Parameters
    ----------
    truth, predicted : vectors [n]
        Of the items whose truth is known: a random sample.
    predicted_others : vector [N]
        Of the others.

    Raises
    ------
    UserError
        Fewer than two items of a kind, or truths and predictions of different numbers of items.

    Examples
    --------
    >>> print(prediction_powered_mean([1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]))
    0.750 [0.002, 1.498] (n = 4)

    References
    ----------
    [1] Angelopoulos, Bates, Fannjiang, Jordan, Zrnic, Prediction-powered inference, Science 2023, algorithm 1.
    """
    known, said, others = (np.asarray(one, dtype=float).ravel() for one in (truth, predicted, predicted_others))
    if len(known) != len(said) or min(len(known), len(others)) < 2:
        raise UserError(
            f"Expected a prediction a truth, and two items of each kind, but got {len(known)} truths, {len(said)} "
            f"predictions of them and {len(others)} of others. Label more."
        )
    off = said - known
    value = others.mean() - off.mean()
    reach = stats.norm.isf((1 - level) / 2) * np.sqrt(off.var(ddof=1) / len(off) + others.var(ddof=1) / len(others))
    return Estimate(float(value), float(value - reach), float(value + reach), len(known), level)


@dataclass(frozen=True)
class Findings:
    """What the audit says.

    Attributes
    ----------
    answers, marked, labelled : int
        All answers, those marked for audit, and those of them whose label came back.
    volunteered : int
        Labels of answers that were not marked; they count nowhere.
    false_alarms : Estimate
        Of the flagged among ID inputs; certified.
    misses : Estimate
        Of the OOD inputs that were not flagged; certified.
    wrong : Estimate, optional
        Of wrong answers: another class than the label, or any class of an OOD input; certified. None without
        predictions.
    wrong_powered : Estimate, optional
        The same from all answers, the flag being the prediction; None where too few are labelled.
    alpha : float
        The rate of false alarms that was promised.
    n_needed : int
        Labelled ID inputs that confirm the promise with power .9 at the rate that is seen; 0 where that is not
        below.
    bound : float
        What the rate of false alarms is certainly not above, one-sided.
    """

    answers: int
    marked: int
    labelled: int
    volunteered: int
    false_alarms: Estimate
    misses: Estimate
    wrong: Estimate | None
    wrong_powered: Estimate | None
    alpha: float
    n_needed: int
    bound: float

    @property
    def verdict(self) -> str:
        """``confirmed`` where the bound is at most alpha, ``broken`` where the rate is certainly above, or ``open``."""
        if self.bound <= self.alpha:
            return "confirmed"
        lower = stats.beta.ppf(0.05, max(self._flagged, 1), self.false_alarms.n - self._flagged + 1)
        return "broken" if self._flagged and lower > self.alpha else "open"

    @property
    def said(self) -> str:
        """The verdict as a sentence."""
        if self.verdict == "confirmed":
            return f"CONFIRMED: at most {self.alpha:.1%} of ID inputs are flagged."
        if self.verdict == "broken":
            return f"BROKEN: more than {self.alpha:.1%} of ID inputs are flagged. Calibrate again on today's inputs."
        more = (
            f"If the rate is what is seen, {self.n_needed:,} labelled ID inputs confirm it."
            if self.n_needed
            else "The rate that is seen is not below it."
        )
        known = f"whether at most {self.alpha:.1%} of ID inputs are flagged is not known from {self.false_alarms.n:,}"
        return f"OPEN: {known}. {more}"

    @property
    def _flagged(self) -> int:
        return round(self.false_alarms.value * self.false_alarms.n) if self.false_alarms.n else 0


def audited(folder: Path | str, *, alpha: float = 0.05, delta: float = 0.05) -> Findings:
    """What an audit log and its feedback say of a guard that promised ``alpha``.

    Raises
    ------
    UserError
        No audit log, or no answers in it.
    """
    table, told = answers(folder), labels(folder)
    joined = table.join(told, on="answer", how="left", maintain_order="left")
    sample = joined.filter(uniform(joined))
    return findings(sample, joined, alpha=alpha, delta=delta)


def labels(folder: Path | str) -> pl.DataFrame:
    """The labels that came back, the last of each answer: answer, label."""
    place = home(folder) / "feedback"
    if not files(place):
        return pl.DataFrame(schema={"answer": pl.String, "label": pl.String})
    return rows(place).unique("answer", keep="last", maintain_order=True).select("answer", "label")


def uniform(table: pl.DataFrame) -> pl.Series:
    """Which answers are a uniform sample: the audited, thinned to the smallest probability of the log."""
    least = table["audit_probability"].min()
    draws = pl.Series([_draw(one) for one in table["answer"]])
    return table["audited"] & (draws < least / table["audit_probability"])


def _draw(answer: str) -> float:
    """A number in [0, 1) that the id of an answer decides, and nothing about its input."""
    return int.from_bytes(hashlib.sha256(answer.encode()).digest()[:6]) / 2**48


def findings(sample: pl.DataFrame, every: pl.DataFrame, *, alpha: float = 0.05, delta: float = 0.05) -> Findings:
    """What a uniform sample of answers says, and all answers beside it: see :class:`Findings`."""
    known = sample.filter(pl.col("label").is_not_null())
    is_ood = (known["label"] == OOD).to_numpy()
    flag = (known["verdict"] == "ood").to_numpy()
    n_id, flagged = int((~is_ood).sum()), int((flag & ~is_ood).sum())
    bound = float(stats.beta.ppf(1 - delta, flagged + 1, n_id - flagged)) if flagged < n_id else 1.0
    false_alarms = certified_rate(flagged, n_id)
    wrong = None if known["prediction"].has_nulls() or known.is_empty() else _wrong(known)
    return Findings(
        answers=len(every),
        marked=len(sample),
        labelled=len(known),
        volunteered=int((every["label"].is_not_null() & ~every["audited"]).sum()),
        false_alarms=false_alarms,
        misses=certified_rate(int((~flag & is_ood).sum()), int(is_ood.sum())),
        wrong=None if wrong is None else certified_rate(int(wrong.sum()), len(wrong)),
        wrong_powered=None if wrong is None else _powered(wrong, flag, every, known),
        alpha=alpha,
        n_needed=audit_size(false_alarms.value, alpha, delta) if n_id and flagged / n_id < alpha else 0,
        bound=bound,
    )


def _wrong(known: pl.DataFrame) -> Array:
    return np.asarray((known["prediction"] != known["label"]).to_numpy())


def _powered(wrong: Array, flag: Array, every: pl.DataFrame, known: pl.DataFrame) -> Estimate | None:
    others = every.filter(~pl.col("answer").is_in(known["answer"].implode()))
    if (wrong != flag).sum() < ENOUGH or len(others) < ENOUGH:
        return None
    return prediction_powered_mean(wrong, flag, (others["verdict"] == "ood").to_numpy())

"""Thresholds whose false alarms are certified from finite calibration: one, a ladder of them, or one a class.

A score is flagged if and only if it lies above its threshold, strictly: ties cost power, never the promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.types import Array

Promise: TypeAlias = Literal["certified", "average"]

RUNGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""False-alarm rates of a ladder."""


@dataclass(frozen=True)
class Threshold:
    """A score above which an item is flagged, and what is promised of it.

    Parameters
    ----------
    value : float
        The threshold t: flagged is a score s > t.
    alpha, delta : float
        With probability at least 1 - delta over calibrations at most a share alpha of ID items is flagged. Of the
        average promise delta is NaN: only the mean over calibrations is at most alpha.
    n, k : int
        Calibration items, and how many of them lie above the threshold where none tie.
    scope : str
        Of which items: ``all``, or a predicted class.

    Examples
    --------
    >>> found = certify(np.arange(1000.0))
    >>> found.k, round(found.expected, 4), found.value
    (38, 0.039, 961.0)
    """

    value: float
    alpha: float
    delta: float
    n: int
    k: int
    scope: str = "all"

    @property
    def expected(self) -> float:
        """Expected share of flagged ID items, (k + 1) / (n + 1) where no scores tie, less where some do."""
        return (self.k + 1) / (self.n + 1)


def certify(scores: Any, alpha: float = 0.05, delta: float = 0.05, *, promise: Promise = "certified") -> Threshold:
    """The threshold whose false-alarm rate is at most ``alpha``, with probability ``1 - delta`` over calibrations.

    The (k + 1)-th largest calibration score, with the largest k such that ``P(Bin(n, alpha) <= k) <= delta``: the upper
    end of Clopper and Pearson's interval for k flags among n then lies at or below alpha. It holds for any distribution
    of scores, as long as calibration and later ID items are drawn alike and independently [1].

    A quantile of the calibration scores breaks alpha in about half of all calibrations. ``promise="average"`` bounds no
    more than the mean over calibrations, with k = floor(alpha (n + 1)) - 1.

    Parameters
    ----------
    scores : vector [n], higher is further out
        Of ID items that neither fit nor selection saw, each once.

    Raises
    ------
    UserError
        A score is not finite, alpha or delta no share, or n too small: the message says how many are needed.

    Examples
    --------
    >>> [certify(np.arange(float(n)), alpha).k for n, alpha in ((200, 0.05), (1000, 0.01), (5000, 0.01), (50_000, 0.1))]
    [4, 4, 38, 4889]

    References
    ----------
    [1] Vovk, Conditional validity of inductive conformal predictors, ACML 2012.
    """
    values = _calibration(scores)
    _shares(alpha=alpha, delta=delta)
    k = _certified_count(len(values), alpha, delta) if promise == "certified" else _average_count(len(values), alpha)
    if k < 0:
        least = smallest_n(alpha, delta) if promise == "certified" else int(np.ceil(1 / alpha - 1))
        raise UserError(
            f"Expected at least {least:,} calibration items for a false-alarm rate of {alpha:g}, but got "
            f"{len(values):,}. Add ID items, or ask for a higher rate."
        )
    value = float(np.partition(values, len(values) - k - 1)[len(values) - k - 1])
    return Threshold(value, alpha, delta if promise == "certified" else float("nan"), len(values), k)


def smallest_n(alpha: float, delta: float) -> int:
    """The fewest calibration items that certify ``alpha`` at all, ``ln delta / ln(1 - alpha)``.

    Examples
    --------
    >>> smallest_n(0.05, 0.05), smallest_n(0.01, 0.05)
    (59, 299)
    """
    return int(np.ceil(np.log(delta) / np.log1p(-alpha)))


def _certified_count(n: int, alpha: float, delta: float) -> int:
    """The largest k with P(Bin(n, alpha) <= k) <= delta, -1 where there is none."""
    k = int(stats.binom.ppf(delta, n, alpha))
    return k if stats.binom.cdf(k, n, alpha) <= delta else k - 1


def _average_count(n: int, alpha: float) -> int:
    return int(np.floor(alpha * (n + 1) + 1e-9)) - 1


def _calibration(scores: Any) -> Array:
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values):
        raise UserError(f"Expected calibration scores as a vector, but got shape {values.shape}. Pass one an item.")
    if wrong := int((~np.isfinite(values)).sum()):
        raise UserError(
            f"Expected finite calibration scores, but {wrong} of {len(values)} are NaN or infinite. Find the items "
            "that give them: a threshold among such scores promises nothing."
        )
    return values


def _shares(**named: float) -> None:
    for name, value in named.items():
        if not 0 < value < 1:
            raise UserError(f"Expected {name} between 0 and 1, but got {value:g}. Pass a share such as 0.05.")


@dataclass(frozen=True, eq=False)
class Ladder:
    """Thresholds of several false-alarm rates that all hold at once.

    Parameters
    ----------
    rates : array [J], ascending
    values : array [J]
        The threshold of each rate.
    n : int
        Calibration items.
    delta : float
        With probability at least 1 - delta over calibrations every rung holds.

    Examples
    --------
    >>> found = ladder(np.arange(1000.0))
    >>> found.rates.tolist()
    [0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
    >>> found.p(np.array([0.0, 990.0, 5000.0])).tolist()
    [1.0, 0.05, 0.005]
    """

    rates: Array
    values: Array
    n: int
    delta: float

    def flags(self, scores: Any) -> Array:
        """Whether each score lies above each rung: bool [m, J]; of NaN never."""
        return np.asarray(scores, dtype=float)[:, None] > self.values

    def p(self, scores: Any) -> Array:
        """The least rate whose rung a score lies above, else 1; NaN of a score that is NaN: [m].

        With probability 1 - delta over calibrations ``P(p <= a) <= a`` at every rate a, and the p of later items are
        independent, as those of a conformal rank are not.
        """
        values = np.asarray(scores, dtype=float)
        found = np.where(self.flags(values), self.rates, 1.0).min(axis=1)
        return np.where(np.isnan(values), np.nan, found)


def ladder(scores: Any, *, rates: Sequence[float] = RUNGS, delta: float = 0.05) -> Ladder:
    """A ladder of thresholds, each certified at ``delta / J``, J the number of rungs that n items can certify.

    Raises
    ------
    UserError
        As :func:`certify`; n certifies no rung.

    Examples
    --------
    >>> ladder(np.arange(60.0)).rates.tolist()
    [0.1, 0.2]
    """
    values = _calibration(scores)
    _shares(delta=delta)
    ascending = sorted(rates)
    for count in range(len(ascending), 0, -1):
        kept = ascending[-count:]
        if _certified_count(len(values), kept[0], delta / count) >= 0:
            rungs = [certify(values, rate, delta / count).value for rate in kept]
            return Ladder(np.array(kept), np.array(rungs), len(values), delta)
    least = smallest_n(ascending[-1], delta)
    raise UserError(
        f"Expected at least {least:,} calibration items for a ladder that begins at {ascending[-1]:g}, but got "
        f"{len(values):,}. Add ID items."
    )


def by_class(
    scores: Any, predicted: Any, alpha: float = 0.05, delta: float = 0.05
) -> tuple[dict[str, Threshold], tuple[str, ...]]:
    """A threshold for each predicted class, all of which hold at once, and the classes that take the pooled one.

    Each is certified at ``delta / C``. A class with too few items takes the threshold of all items, and is named: of
    it nothing is promised alone. One threshold for all flags a hard class several times as often as an easy one.

    Parameters
    ----------
    scores : vector [n]
    predicted : names or numbers [n]

    Raises
    ------
    UserError
        As :func:`certify`; another number of predictions than of scores.

    Examples
    --------
    >>> found, fallen = by_class(np.arange(210.0), ["cat"] * 100 + ["dog"] * 100 + ["eel"] * 10)
    >>> found["cat"].k, found["dog"].value, found["eel"].scope, fallen
    (0, 199.0, 'all', ('eel',))
    """
    values, names = _calibration(scores), np.asarray(predicted).astype(str)
    if len(values) != len(names):
        raise UserError(f"Expected a prediction a score, but got {len(names)} for {len(values)}. Pass both.")
    pooled, found, fallen = certify(values, alpha, delta), {}, []
    kinds = np.unique(names)
    for kind in kinds:
        of = values[names == kind]
        if _certified_count(len(of), alpha, delta / len(kinds)) < 0:
            found[str(kind)] = pooled
            fallen.append(str(kind))
        else:
            one = certify(of, alpha, delta / len(kinds))
            found[str(kind)] = Threshold(one.value, alpha, delta, one.n, one.k, str(kind))
    return found, tuple(fallen)


def one_per_group(groups: Any, *, seed: int = 0) -> Array:
    """Rows, one of each group drawn by a seed: items of one group (frames of a film, say) are not independent.

    With each item twice the certified rate is broken in 10% of calibrations instead of 5%, five times in 25%.

    Examples
    --------
    >>> one_per_group(["a", "a", "b", "c", "c"]).tolist()
    [0, 2, 4]
    """
    names = np.asarray(groups)
    if names.ndim != 1 or not len(names):
        raise UserError(f"Expected a group for each item, but got shape {names.shape}. Pass a vector of names.")
    order = np.random.default_rng(seed).permutation(len(names))
    _, first = np.unique(names[order], return_index=True)
    return np.sort(order[first])


@dataclass(frozen=True)
class Plan:
    """What a number of calibration items buys.

    Examples
    --------
    >>> found = plan(1000, traffic=50_000)
    >>> round(found.expected, 3), round(found.alarms_a_day), found.audit
    (0.039, 1948, 3080)
    """

    n: int
    alpha: float
    delta: float
    expected: float
    alarms_a_day: float
    visible_share: float
    audit: int


def plan(
    n: int, alpha: float = 0.05, delta: float = 0.05, *, traffic: float = 0.0, detected: float = 0.5, power: float = 0.9
) -> Plan:
    """What calibration with ``n`` items promises and costs, before any item is collected.

    Parameters
    ----------
    traffic : ID items a day
    detected : share of OOD items that are flagged (of a published benchmark, or a guess)
    power : of the audit

    Returns
    -------
    Plan
        ``expected`` rate of false alarms, ``alarms_a_day``; ``visible_share``, the smallest share of OOD at which the
        flag rate rises above alpha, (alpha - a) / (detected - a) with a the expected rate; and ``audit``, how many
        random labelled ID items confirm with that power that the rate is at most alpha, where it is the expected one.

    Raises
    ------
    UserError
        n certifies no threshold at alpha.
    """
    _shares(alpha=alpha, delta=delta, detected=detected, power=power)
    k = _certified_count(n, alpha, delta)
    if k < 0:
        raise UserError(
            f"Expected at least {smallest_n(alpha, delta):,} calibration items for a false-alarm rate of {alpha:g}, "
            f"but got {n:,}. Plan for more items, or ask for a higher rate."
        )
    expected = (k + 1) / (n + 1)
    share = (alpha - expected) / (detected - expected) if detected > alpha else 1.0
    return Plan(n, alpha, delta, expected, traffic * expected, share, audit_size(expected, alpha, delta, power))


def audit_size(rate: float, alpha: float, delta: float = 0.05, power: float = 0.9) -> int:
    """The fewest items whose flags, at ``rate``, show with ``power`` that the rate is at most alpha; to 20 items.

    Examples
    --------
    >>> audit_size(0.04, 0.05), audit_size(0.005, 0.01)
    (3800, 2800)
    """
    low, high = smallest_n(alpha, delta), 10_000_000
    while high - low > 20:
        middle = (low + high) // 2
        k = _certified_count(middle, alpha, delta)
        shown = k >= 0 and stats.binom.cdf(k, middle, rate) >= power
        low, high = (low, middle) if shown else (middle, high)
    return -(-high // 20) * 20

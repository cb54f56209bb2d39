"""How many models, seeds, items (or runs) it takes to see an effect of a given size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atanh, ceil, factorial, inf, isnan, nan
from typing import Literal, TypeAlias

from scipy import special, stats

from outfield.errors import UserError
from outfield.stats.base import Level, Result

Goal: TypeAlias = Literal["models", "seeds", "items", "auroc-items", "runs"]
LEVELS: dict[str, Level] = {
    "models": "model", "seeds": "strategy", "items": "sample", "auroc-items": "sample", "runs": "run",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Power(Result):
    """The number needed of ``goal``, and the effect, chance and size that it was computed for.

    Examples
    --------
    >>> found = power("models", 0.5, comparisons=10)
    >>> found.needed, power("models", 0.5).needed, found.correction
    (53, 33, 'Bonferroni over 10')
    """

    goal: str
    needed: int
    effect: float
    chance: float
    size: float


def power(
    goal: Goal,
    effect: float,
    *,
    sd: float | None = None,
    base: float = 0.5,
    correlation: float = 0.0,
    comparisons: int = 1,
    chance: float = 0.8,
    size: float = 0.05,
) -> Power:
    """How many it takes to see an effect with probability ``chance`` at two-sided ``size``.

    ``size`` is divided by the number of comparisons (Bonferroni).

    * ``models``: a Spearman correlation of ``effect``, by Fisher z with Bonett and Wright's error:
      ``n = 3 + (1 + r^2 / 2) ((z_size + z_chance) / atanh r)^2``.
    * ``seeds`` of each of two strategies: a difference ``effect`` when seeds scatter with ``sd``; t-test.
    * ``items``: a difference ``effect`` of two accuracies about ``base`` on the same items, whose correctness
      correlates ``correlation``.
    * ``auroc-items``: ID and OOD items, in equal numbers, for a difference ``effect`` of two AUROCs about ``base``
      whose estimates correlate ``correlation``; Hanley and McNeil's variance [1].
    * ``runs``: runs such that a run-permutation test can reach ``size`` at all (1 / r! at most size / comparisons), and
      a mean Fisher z of ``effect`` whose runs scatter with ``sd`` is seen.

    Raises
    ------
    UserError
        An effect of 0, a correlation not inside (-1, 1), or a missing ``sd``.

    Examples
    --------
    >>> power("models", 0.3).needed, power("seeds", 1.0, sd=0.5).needed, power("items", 0.02, base=0.8).needed
    (89, 6, 6280)

    References
    ----------
    [1] Hanley, McNeil, The meaning and use of the area under a ROC curve, Radiology 1982.
    """
    if goal not in LEVELS:
        raise UserError(f"Expected one of {', '.join(LEVELS)}, but got {goal!r}. Choose one of them.")
    if effect == 0 or (goal == "models" and abs(effect) >= 1):
        raise UserError(f"Expected an effect other than 0 (a correlation inside (-1, 1)), but got {effect:g}.")
    if goal in ("seeds", "runs") and not sd:
        raise UserError(f"Expected the sd of {goal}, but got {sd}. Take it from a pilot: the sd over seeds or runs.")
    each = size / comparisons
    z = float(stats.norm.ppf(1 - each / 2) + stats.norm.ppf(chance))
    needed = _needed(goal, abs(effect), sd or 0.0, base, correlation, each, chance, z)
    correction = f"Bonferroni over {comparisons}" if comparisons > 1 else "none"
    return Power(goal, needed, effect, chance, size, level=LEVELS[goal], n_units=needed, correction=correction)


def detectable(
    error: float, df: float = inf, *, comparisons: int = 1, chance: float = 0.8, size: float = 0.05
) -> float:
    """The smallest true effect that a two-sided test finds with probability ``chance``, given its standard error.

    Student's t with ``df`` degrees of freedom: ``error`` times the noncentrality whose power is ``chance``. ``size`` is
    divided by the number of comparisons (Bonferroni). NaN where the error is.

    Examples
    --------
    >>> round(detectable(0.01), 4), round(detectable(0.01, df=9), 4), round(detectable(0.01, comparisons=5), 4)
    (0.028, 0.0315, 0.0342)
    """
    if isnan(error) or not df >= 1:
        return nan
    limit = size / comparisons / 2
    if df == inf:
        return float(stats.norm.isf(limit) + stats.norm.ppf(chance)) * error
    return float(special.nctdtrinc(df, 1 - chance, stats.t.isf(limit, df))) * error


def _needed(goal: str, *of: float) -> int:
    effect, sd, base, correlation, size, chance, z = of
    if goal == "models":
        return ceil(3 + (1 + effect**2 / 2) * (z / atanh(effect)) ** 2)
    if goal == "seeds":
        return _seeds(effect / sd, size, chance)
    if goal == "runs":
        least = next(r for r in range(2, 20) if 1 / factorial(r) <= size)
        return max(5, least, _runs(effect / sd, size, chance))
    if goal == "items":
        return ceil(2 * base * (1 - base) * (1 - correlation) * (z / effect) ** 2)
    spread = base / (2 - base) + 2 * base**2 / (1 + base) - 2 * base**2
    return ceil(2 * (1 - correlation) * spread * (z / effect) ** 2)


def _seeds(ratio: float, size: float, chance: float) -> int:
    from statsmodels.stats.power import TTestIndPower

    return _smallest(lambda n: TTestIndPower().power(ratio, n, size), chance)


def _runs(ratio: float, size: float, chance: float) -> int:
    from statsmodels.stats.power import TTestPower

    return _smallest(lambda n: TTestPower().power(ratio, n, size), chance)


def _smallest(chance_with: Callable[[int], float], chance: float) -> int:
    high = 2
    while chance_with(high) < chance:
        high *= 2
    low = max(2, high // 2)
    return next(n for n in range(low, high + 1) if chance_with(n) >= chance)

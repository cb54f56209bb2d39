"""Restricted maximum likelihood of variance components, crossed or nested, with profile-likelihood intervals.

statsmodels' MixedLM finds the same estimates where none is 0; at 0 it stops short of the maximum, and it profiles
ratios of variances alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, optimize, stats

from outfield.types import Array

SMALLEST, LARGEST = 1e-7, 1e3
"""Variances that are looked at, as multiples of the response's."""


@dataclass(frozen=True, eq=False)
class Reml:
    """``y = X b + sum Z_k u_k + e`` with ``u_k ~ N(0, v_k)``: the restricted likelihood of the variances v.

    Parameters
    ----------
    y : array [n]
    fixed : array [n]
        The cell of the fixed effects that each row is in, 0, 1, ...
    random : sequence of arrays [n]
        The level of each random effect that each row has, 0, 1, ...

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> level = np.repeat(np.arange(40), 5)
    >>> model = Reml(2 * rng.normal(size=40)[level] + rng.normal(size=200), np.zeros(200, int), (level,))
    >>> model.fit().round(1).tolist(), [round(float(end), 1) for end in model.interval(0)]
    ([2.4, 1.0], [1.5, 4.1])

    References
    ----------
    Patterson and Thompson (1971), Recovery of inter-block information when block sizes are unequal, Biometrika.
    """

    y: Array
    fixed: Array
    random: Sequence[Array]

    @property
    def spare(self) -> int:
        """Observations less fixed effects."""
        return len(self.y) - int(self.fixed.max()) - 1

    @cached_property
    def _repeats(self) -> list[int]:
        return [int(level.max()) + 1 for level in self.random]

    @cached_property
    def _products(self) -> tuple[Array, Array, Array]:
        """Cross-products of levels, of levels with fixed effects and response, and of these."""
        z = np.concatenate(
            [np.eye(many)[level] for many, level in zip(self._repeats, self.random, strict=True)], axis=1
        )
        known = np.column_stack([np.eye(int(self.fixed.max()) + 1)[self.fixed], self.y - self.y.mean()])
        return z.T @ z, z.T @ known, known.T @ known

    def deviance(self, variances: Array) -> float:
        """-2 times the restricted log-likelihood of the variances, the residual's last."""
        levels, mixed, known = self._products
        scale = np.sqrt(np.repeat(variances[:-1] / variances[-1], self._repeats))
        root = linalg.cholesky(np.eye(len(scale)) + scale[:, None] * levels * scale, lower=True, check_finite=False)
        taken = linalg.solve_triangular(root, scale[:, None] * mixed, lower=True, check_finite=False)
        rest = linalg.cholesky(known - taken.T @ taken, lower=True, check_finite=False)
        logs = 2 * (np.log(np.diag(root)).sum() + np.log(np.diag(rest)[:-1]).sum())
        return float(self.spare * np.log(2 * np.pi * variances[-1]) + logs + rest[-1, -1] ** 2 / variances[-1])

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        low, high = np.log(np.var(self.y) * np.array([SMALLEST, LARGEST]))
        return float(low), float(high)

    @cached_property
    def _best(self) -> tuple[Array, float]:
        many = len(self.random) + 1
        start = np.full(many, np.log(np.var(self.y) / many))
        return self._least(lambda logs: logs, start, 1e-13)

    def _least(self, whole: Callable[[Array], Array], start: Array, precision: float) -> tuple[Array, float]:
        found = optimize.minimize(
            lambda logs: self.deviance(np.exp(whole(logs))), start, method="L-BFGS-B",
            bounds=[self._bounds] * len(start), options={"ftol": precision, "gtol": 1e-6},
        )  # fmt: skip
        return found.x, float(found.fun)

    def fit(self) -> Array:
        """The variances of greatest restricted likelihood, the residual's last; 0 at the bound."""
        return self._or_zero(np.exp(self._best[0]))

    def _or_zero(self, variances: Array) -> Array:
        return np.where(variances <= 10 * np.exp(self._bounds[0]), 0.0, variances)

    @property
    def log_likelihood(self) -> float:
        """The greatest restricted log-likelihood."""
        return -self._best[1] / 2

    def interval(self, which: int, *, confidence: float = 0.95) -> tuple[float, float]:
        """The variances that the profile likelihood does not reject: where it falls by half a chi squared quantile."""
        logs, least = self._best
        away_from_0 = np.log(np.var(self.y) / 1000)
        start, allowed = np.delete(np.maximum(logs, away_from_0), which), float(stats.chi2.ppf(confidence, 1))

        def excess(at: float) -> float:
            return self._least(lambda rest: np.insert(rest, which, at), start, 1e-8)[1] - least - allowed

        return self._end(excess, logs[which], -1.0), self._end(excess, logs[which], 1.0)

    def _end(self, excess: Callable[[float], float], inside: float, step: float) -> float:
        """The end on one side of ``inside``: steps that double until the profile is rejected, then a root."""
        low, high = self._bounds
        outside = inside
        while low < outside < high or outside == inside:
            inside, outside, step = outside, float(np.clip(outside + step, low, high)), 2 * step
            if excess(outside) > 0:
                return float(np.exp(optimize.brentq(excess, inside, outside, xtol=3e-3)))
            if outside in (low, high):
                break
        return 0.0 if outside == low else float("inf")

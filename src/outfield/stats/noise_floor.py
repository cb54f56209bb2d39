"""How far two runs of one configuration differ at a checkpoint: the noise below which a difference says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.stats.base import Result
from outfield.types import Array, Estimate

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

LEAST_DIFFERENCES = 6


@dataclass(frozen=True, eq=False)
class NoiseFloor(Result):
    """The standard deviation of a measure at a checkpoint over runs of one configuration.

    Parameters
    ----------
    sd : Estimate
        From how a rerun's differences vary along training; a slow drift apart is in it.
    step_to_step : float
        From how they change between neighbouring checkpoints: without drift.
    per_pair : array [pairs]
        ``sd`` of each pair alone.
    shift : float
        Mean difference, rerun less original, over all pairs.

    Examples
    --------
    >>> found = noise_floor([[0.1, -0.1, 0.1, -0.1, 0.1, -0.1]])
    >>> round(found.sd.value, 3), round(found.step_to_step, 3), round(found.smallest_difference, 2)
    (0.077, 0.1, 0.21)
    """

    sd: Estimate
    step_to_step: float
    per_pair: Array
    shift: float
    checkpoints: int

    @property
    def smallest_difference(self) -> float:
        """What two runs must differ by at a checkpoint, to differ by more than reruns do in 95 of 100 cases."""
        return 1.959964 * 2**0.5 * self.sd.value

    @property
    def smallest_step(self) -> float:
        """The same for two neighbouring checkpoints of one run."""
        return 1.959964 * 2**0.5 * self.step_to_step

    def plot(self) -> alt.TopLevelMixin:
        """The standard deviation of every pair, and the one over all."""
        from outfield.stats import _plots

        pairs = {f"pair {i + 1}": Estimate(float(value)) for i, value in enumerate(self.per_pair)}
        return _plots.estimates({"all pairs": self.sd, **pairs})


def noise_floor(differences: Sequence[Any], *, confidence: float = 0.95) -> NoiseFloor:
    """The noise of a measure at a checkpoint, from reruns of one configuration at the same steps.

    The difference of a rerun and its original has twice the variance of one run: ``sd = sd(difference) / sqrt 2``,
    about each pair's mean, pooled over pairs. Between neighbouring steps von Neumann's estimate, ``mean((d[t + 1] -
    d[t])^2) / 4``, in which a trend that the two do not share cancels. The interval is that of a variance, with the
    degrees of freedom that differences of their autocorrelation *r* are worth: ``f (1 - r^2) / (1 + r^2)``.

    Parameters
    ----------
    differences : a sequence of vectors, one a pair of runs, in the order of steps

    Raises
    ------
    UserError
        No pair, or one of fewer than six common steps.

    References
    ----------
    von Neumann (1941), Distribution of the ratio of the mean square successive difference to the variance.
    Bayley and Hammersley (1946), The "effective" number of independent observations in an autocorrelated time series.

    Examples
    --------
    >>> pairs = np.random.default_rng(0).normal(0, 0.01 * np.sqrt(2), (5, 80))
    >>> print(noise_floor(list(pairs)).sd)
    0.010 [0.009, 0.011] (n = 400)
    """
    pairs = [np.asarray(each, float)[np.isfinite(np.asarray(each, float))] for each in differences]
    if not pairs or min(map(len, pairs)) < LEAST_DIFFERENCES:
        raise UserError(
            f"Expected reruns with at least {LEAST_DIFFERENCES} steps that their originals have too, but got "
            f"{min(map(len, pairs), default=0)}. Measure both at the same steps."
        )
    about = [each - each.mean() for each in pairs]
    freedom, squares = np.array([len(each) - 1 for each in about]), np.array([(each**2).sum() for each in about])
    variance = squares.sum() / freedom.sum() / 2
    worth = freedom.sum() * _worth(about)
    ends = np.sqrt(variance * worth / stats.chi2.ppf([0.5 + confidence / 2, 0.5 - confidence / 2], worth))
    steps = np.concatenate([np.diff(each) for each in pairs])
    count = sum(map(len, pairs))
    return NoiseFloor(
        intervals.estimate(float(np.sqrt(variance)), ends, count, confidence=confidence),
        float(np.sqrt((steps**2).mean()) / 2), np.sqrt(squares / freedom / 2),
        float(np.concatenate(pairs).mean()), count, level="run", n_units=len(pairs),
    )  # fmt: skip


def _worth(about: Sequence[Array]) -> float:
    """How many independent squares one square of an autocorrelated series is worth."""
    total = sum(float((each**2).sum()) for each in about)
    if not total:
        return 1.0
    r = float(np.clip(sum(float(each[1:] @ each[:-1]) for each in about) / total, 0, 0.95))
    return (1 - r**2) / (1 + r**2)


def floors(differences: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
    """The noise floor of each measure that has one.

    Columns: measure, sd, low, high, step to step, smallest difference, smallest step, shift, checkpoints, pairs.

    Examples
    --------
    >>> floors({"acc": [[0.1, -0.1, 0.1, -0.1, 0.1, -0.1]]}).select("measure", "pairs", "checkpoints").rows()
    [('acc', 1, 6)]
    """
    import polars as pl

    rows = [_row(name, noise_floor(pairs)) for name, pairs in differences.items()]
    return pl.DataFrame(rows)


def _row(name: str, found: NoiseFloor) -> dict[str, Any]:
    return {
        "measure": name, "sd": found.sd.value, "low": found.sd.low, "high": found.sd.high,
        "step to step": found.step_to_step, "smallest difference": found.smallest_difference,
        "smallest step": found.smallest_step, "shift": found.shift, "checkpoints": found.checkpoints,
        "pairs": found.n_units,
    }  # fmt: skip

"""What every metric keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outfield.metrics.base import MeritMetric, Metric
from outfield.testing._expect import all_of, comes_back_from_json, expect, is_found_by_its_name, refused
from outfield.types import Estimate

Arrays: TypeAlias = "Sequence[NDArray[Any]]"
Draw: TypeAlias = Callable[[np.random.Generator, int, float], Arrays]
"""Of a random stream, a number of samples n, and how easy the case is (``apart``): what the metric is called with."""


def check_metric(
    metric: Metric[Any],
    draw: Draw | None = None,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    fewest: Arrays | None = None,
    ends: tuple[Arrays, Arrays] | None = None,
) -> None:
    """The contract of a metric, on arrays with known truth.

    Parameters
    ----------
    metric : Metric
    draw : callable, optional
        ``draw(rng, n, apart)`` gives the arrays that it is called with; a higher ``apart`` is the better case. By
        default those that its kind reads: scores, logits and labels, or merits.
    low, high : float
        The ends of its range.
    fewest : arrays, optional
        The smallest case that it is defined for; by default one sample of each kind.
    ends : two of such, optional
        A good and a bad case, where ``apart`` does not say it.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.metrics.auroc import Auroc
    >>> check_metric(Auroc(), low=0, high=1)
    """
    all_of(CHECKS, Case(metric, draw or usual(metric), low, high, fewest, ends))


@dataclass(frozen=True, eq=False)
class Case:
    """A metric with the arrays that it is tried on."""

    metric: Metric[Any]
    draw: Draw
    low: float = -math.inf
    high: float = math.inf
    fewest: Arrays | None = None
    ends: tuple[Arrays, Arrays] | None = None

    def __repr__(self) -> str:
        return repr(self.metric)

    def arrays(self, n: int = 60, apart: float = 1.0) -> Arrays:
        """The same arrays whenever they are asked for."""
        return self.draw(np.random.default_rng(7), n, apart)

    def __call__(self, arrays: Arrays) -> Estimate:
        found: Estimate = self.metric(*arrays)  # type: ignore[operator]  # every base has a call
        return found


def usual(metric: Metric[Any]) -> Draw:
    """Plain arrays for a metric of its kind: the easier, the further apart."""

    def draw(rng: np.random.Generator, n: int, apart: float) -> Arrays:
        if isinstance(metric, MeritMetric):
            error = np.abs(rng.normal(size=n))
            return (-error, rng.normal(size=n) + apart * error) if metric.of_detector else (-error / apart,)
        labels, m = rng.integers(5, size=n), n // 2 + 1
        if metric.inputs == "predictions":
            return apart * 2 * np.eye(5)[labels] + rng.normal(size=(n, 5)), labels
        correct = rng.random(n) < 0.7
        scores = rng.normal(size=n) + (apart * ~correct if metric.inputs == "diagnostic" else 0)
        ood = rng.normal(3 * apart, 1, m)
        return {("ranking", True): (scores, ood), ("diagnostic", False): (scores, correct)}.get(
            (metric.inputs, metric.per_set), (scores, correct, ood)
        )

    return draw


def fields(case: Case) -> None:
    """It is found by its name, comes back from JSON, and has a label."""
    is_found_by_its_name("metrics", case.metric)
    comes_back_from_json("metrics", case.metric)
    expect(isinstance(case.metric, Metric), "a Metric", type(case.metric))
    expect(case.metric.label, "a label", "none")


def value(case: Case) -> None:
    """The value is in its range and inside its interval, and says of how many samples."""
    found = case(case.arrays())
    expect(case.low <= found.value <= case.high, f"a value from {case.low:g} to {case.high:g}", found.value)
    expect(found.n > 0, "the number of samples", found.n)
    if not math.isnan(found.low):
        inside = case.low <= found.low <= found.value <= found.high <= case.high
        expect(inside, "an interval around the value, in its range", f"{found.low} to {found.high}")


def interval(case: Case) -> None:
    """It has an interval, unless its docstring says why not: ``No interval: ...``."""
    bare = "No interval" in str(type(case.metric).__doc__)
    found = case(case.arrays())
    expect(math.isnan(found.low) == bare, "no interval, as its docstring says" if bare else "an interval", found)


def more_samples(case: Case) -> None:
    """The interval narrows with more samples."""
    few, many = (case(case.arrays(n)) for n in (100, 10_000))
    narrow = math.isnan(few.low) or many.high - many.low < 0.4 * (few.high - few.low)
    expect(narrow, "an interval of 10,000 samples a tenth as wide as that of 100, at most .4", f"{few} and {many}")


def order_of_rows(case: Case) -> None:
    """The order of rows does not matter, also where values are tied."""
    rng = np.random.default_rng(3)
    arrays = [np.round(array, 1) if array.dtype.kind == "f" else array for array in case.arrays()]
    order = rng.permutation(len(arrays[0]))
    mixed = [array[order if len(array) == len(order) else rng.permutation(len(array))] for array in arrays]
    first, second = asdict(case(arrays)), asdict(case(mixed))
    near = all(np.allclose(second[name], first[name], atol=1e-12, rtol=1e-6, equal_nan=True) for name in first)
    expect(near, f"{first} in any order", second)


def direction(case: Case) -> None:
    """A better case has the better value, as ``higher_is_better`` says."""
    good, bad = case.ends or (case.arrays(900, 1.2), case.arrays(900, 0.2))
    easy, hard = case(good).value, case(bad).value
    side = "higher" if case.metric.higher_is_better else "lower"
    expect((easy > hard) == case.metric.higher_is_better, f"a {side} value of the better case", f"{easy} and {hard}")


def fewest_samples(case: Case) -> None:
    """One sample of each kind is enough."""
    found = case(case.arrays(1) if case.fewest is None else case.fewest).value
    expect(math.isfinite(found), "a finite value of the fewest samples", found)


def empty_and_nan(case: Case) -> None:
    """No samples, and NaN, are refused with the way out."""
    arrays = case.arrays()
    for position, array in enumerate(arrays):
        empty = [other[:0] if place == position else other for place, other in enumerate(arrays)]
        with refused(f"an empty argument {position}", "Expected"):
            case(empty)
        if array.dtype.kind == "f":
            spoilt = array.copy()
            spoilt[3] = np.nan
            with refused(f"NaN in argument {position}", "NaN"):
                case([spoilt if place == position else other for place, other in enumerate(arrays)])


CHECKS: tuple[Callable[[Case], None], ...] = (
    fields, value, interval, more_samples, order_of_rows, direction, fewest_samples, empty_and_nan
)  # fmt: skip

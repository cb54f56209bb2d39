"""What alarms cost: misses and false alarms at a threshold, given how often inputs are OOD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outfield.errors import UserError
from outfield.stats.base import vector
from outfield.types import Array

PER = 1000
"""Inputs that costs are stated for."""


@dataclass(frozen=True)
class Costs:
    """How often inputs are OOD, and what a wrong decision costs, in any unit.

    Parameters
    ----------
    rate : float
        Share of inputs that are OOD, in [0, 1].
    miss : float
        Cost of an OOD input without an alarm.
    false_alarm : float
        Cost of an alarm on an ID input.

    Raises
    ------
    UserError
        A rate outside [0, 1], or a cost below 0.

    Examples
    --------
    >>> costs = Costs(rate=0.1, miss=10, false_alarm=1)
    >>> costs.never, costs.always, costs.of(fpr=0.05, fnr=0.5)
    (1000.0, 900.0, 545.0)
    """

    rate: float = 0.1
    miss: float = 10.0
    false_alarm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise UserError(
                f"Expected the share of OOD inputs from 0 to 1, but got {self.rate:g}. Pass rate=0.01, say."
            )
        for name in ("miss", "false_alarm"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"Expected a cost of 0 or more for {name}, but got {getattr(self, name):g}. Raise it.")

    def of(self, fpr: float, fnr: float) -> float:
        """Expected cost of 1,000 inputs, ``1000 (rate FNR miss + (1 - rate) FPR false_alarm)``."""
        return PER * float(self.rate * fnr * self.miss + (1 - self.rate) * fpr * self.false_alarm)

    @property
    def never(self) -> float:
        """Without any alarm: every OOD input is missed."""
        return self.of(0.0, 1.0)

    @property
    def always(self) -> float:
        """An alarm on every input."""
        return self.of(1.0, 0.0)


def best_threshold(known: Array, unknown: Sequence[Array], costs: Costs) -> float:
    """The threshold of least expected cost: an alarm is a score above it; infinite where no alarm is best.

    Each OOD set makes up the same share of OOD inputs. Of several equally good thresholds the highest is taken; it lies
    half way between two scores.

    Examples
    --------
    >>> best_threshold(np.array([0.0, 1.0]), [np.array([3.0, 4.0])], Costs(0.5, 1, 1))
    2.0
    """
    places = np.unique(np.concatenate([known, *unknown]))
    fpr = _share_above(known, places)
    fnr = 1 - np.mean([_share_above(one, places) for one in unknown], axis=0)
    cost = costs.rate * fnr * costs.miss + (1 - costs.rate) * fpr * costs.false_alarm
    cost = np.concatenate(([(1 - costs.rate) * costs.false_alarm], cost))
    with np.errstate(invalid="ignore"):  # infinite scores have no middle
        middle = (places[:-1] + places[1:]) / 2
    bounds = np.concatenate(([-np.inf], np.where(np.isfinite(middle), middle, places[:-1]), [np.inf]))
    least = np.flatnonzero(cost <= cost.min() + 1e-12)
    return float(bounds[least[-1]])


def held_out_cost(known: Array, unknown: Sequence[Array], costs: Costs) -> float:
    """Expected cost of 1,000 inputs at the best threshold, which is chosen on other inputs than it is judged on.

    The threshold is chosen on every second input of each set and judged on the rest, then the other way round; the mean
    of both. Chosen and judged on the same inputs, the cost would be too low.

    Parameters
    ----------
    known : array [n]
        Scores of ID inputs, higher further out.
    unknown : sequence of arrays
        Scores of each OOD set; each counts as much as the others.
    costs : Costs

    Raises
    ------
    UserError
        A set has fewer than two scores, or there is no OOD set.

    Examples
    --------
    >>> held_out_cost(np.arange(10.0), [np.arange(20.0, 30.0)], Costs(0.1, 10, 1))
    0.0
    >>> held_out_cost(np.zeros(4), [np.zeros(4)], Costs(0.5, 1, 3))
    500.0
    """
    sets = [vector(known, "ID scores"), *(vector(one, "OOD scores") for one in unknown)]
    if len(sets) < 2 or min(map(len, sets)) < 2:
        raise UserError("Expected an OOD set, and two scores or more of each set, but got fewer. Add inputs.")
    first, second = ([one[start::2] for one in sets] for start in (0, 1))
    return (_judged(first, second, costs) + _judged(second, first, costs)) / 2


def _judged(chosen_on: Sequence[Array], judged_on: Sequence[Array], costs: Costs) -> float:
    bound = best_threshold(chosen_on[0], chosen_on[1:], costs)
    fnr = 1 - float(np.mean([(one > bound).mean() for one in judged_on[1:]]))
    return costs.of(float((judged_on[0] > bound).mean()), fnr)


def _share_above(scores: Array, places: Array) -> Array:
    return np.asarray(1 - np.searchsorted(np.sort(scores), places, side="right") / len(scores))

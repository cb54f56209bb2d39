"""Watching a stream of scores: an alarm with a promised mean time to a false one, and intervals valid at every look.

The evidence is bets on how often items lie above the rungs of a certified ladder. P-values of a fixed calibration set
are no ground for such bets: they are not independent given the calibration, and their martingales alarm on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import optimize, special

from outfield.errors import UserError
from outfield.guard.thresholds import Ladder
from outfield.types import Array

ODDS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""How many times as often as certified a bet says that a rung is passed."""
BLOCK = 50
"""Items, or groups, between two looks."""
CLUMPED = 1.5
"""Ratio of the variance of block counts to the binomial's above which flags come in clumps."""
LARGEST = 0.95


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a part of the stream says: sums, which add over workers.

    Parameters
    ----------
    log_e : array [J, bets]
        Sum of the log bets.
    flags : array [J]
        Sum of flags above each rung; of a group its mean.
    items : float
        Items, or groups, that were bet on.

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rungs = ladder(np.arange(1000.0))
    >>> both = evidence([0.0, 999.5], rungs) + evidence([5.0], rungs)
    >>> both.items, both.flags.tolist()
    (3.0, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """

    log_e: Array
    flags: Array
    items: float

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.log_e + other.log_e, self.flags + other.flags, self.items + other.items)


def evidence(scores: Any, ladder: Ladder, groups: Any = None) -> Evidence:
    """The sums of a part of a stream: bets ``log(1 + lambda (x - a))`` for each rung a and each odds o.

    ``lambda = (theta - a) / (a (1 - a))`` with ``theta = min(o a, .95)``; x is whether an item lies above the rung, or
    the mean of that over a group, within which any dependence is allowed. NaN scores are no evidence.

    Parameters
    ----------
    scores : vector [m]
    groups : names [m], optional; each group must be whole
    """
    values = np.asarray(scores, dtype=float).ravel()
    known = ~np.isnan(values)
    x = ladder.flags(values[known]).astype(float)
    if groups is not None:
        x = _group_means(x, np.asarray(groups)[known])
    stakes = _stakes(ladder.rates)
    log_e = np.log1p(stakes[None] * (x - ladder.rates)[:, :, None]).sum(axis=0)
    return Evidence(log_e, x.sum(axis=0), float(len(x)))


def _group_means(x: Array, groups: Array) -> Array:
    _, index = np.unique(groups, return_inverse=True)
    counts = np.bincount(index)
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, index, x)
    return sums / counts[:, None]


def _stakes(rates: Array) -> Array:
    """How much each bet puts on its rung: [J, bets]."""
    a = rates[:, None]
    theta = np.minimum(np.array(ODDS) * a, LARGEST)
    return np.asarray((theta - a) / (a * (1 - a)))


def shiryaev_roberts(log_m: Array, log_e: Array) -> Array:
    """One step of the statistic in logs, ``M_b = e_b (1 + M_{b-1})`` [1].

    Where nothing has changed M_b - b is a supermartingale: the mean time until M reaches c is at least c blocks.

    Examples
    --------
    >>> float(np.exp(shiryaev_roberts(np.array(-np.inf), np.array(0.0))))
    1.0

    References
    ----------
    [1] Shin, Ramdas, Rinaldo, E-detectors: a nonparametric framework for sequential change detection, NEJSDS 2024.
    """
    return log_e + np.logaddexp(0.0, log_m)


@dataclass(eq=False)
class Monitor:
    """A detector of change on the flags of a ladder, with an alarm that stays until it is acknowledged.

    With probability ``1 - ladder.delta`` over calibrations the mean number of items to a false alarm is at least
    ``run_length``. What it promises nothing of: how soon a change is seen, or changes that move no score up. Changes
    that move scores down are for its ``mirror``: each has the promise, and of both the first false alarm comes after
    ``run_length / 2`` items on average, at least.

    Parameters
    ----------
    ladder : Ladder
    run_length : float
        Items to a false alarm, mean.
    block : int
        Items (or groups) between two looks.
    mirror : Monitor, optional
        A monitor of the negated scores, on a ladder of the negated calibration scores; it is updated, acknowledged and
        kept along with this one.

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rng = np.random.default_rng(0)
    >>> watch = Monitor(ladder(rng.normal(size=5000)))
    >>> watch.update(rng.normal(size=2000)).alarm
    False
    >>> watch.update(rng.normal(2, 1, size=200)).alarm
    True
    >>> watch.alarmed_at
    2050.0
    """

    ladder: Ladder
    run_length: float = 100_000
    block: int = BLOCK
    mirror: Monitor | None = None
    log_m: Array = field(init=False)
    flags: Array = field(init=False)
    squares: Array = field(init=False)
    items: float = 0.0
    blocks: int = 0
    alarm: bool = False
    alarmed_at: float | None = None
    open: Evidence | None = None

    def __post_init__(self) -> None:
        if self.run_length < self.block:
            raise UserError(
                f"Expected a mean run length of at least a block of {self.block} items, but got {self.run_length:g}. "
                "Promise more items to a false alarm."
            )
        rungs = len(self.ladder.rates)
        self.log_m = np.full((rungs, len(ODDS)), -np.inf)
        self.flags, self.squares = np.zeros(rungs), np.zeros(rungs)

    def update(self, scores: Any, groups: Any = None) -> Monitor:
        """Take scores in the order in which they came; each group must be whole and together.

        Raises
        ------
        UserError
            Another number of groups than of scores.
        """
        values = np.asarray(scores, dtype=float).ravel()
        starts = _starts(values, groups)
        names = None if groups is None else np.asarray(groups)
        at = 0
        while at < len(starts):
            missing = self.block - int(self.open.items if self.open else 0)
            stop = starts[at + missing] if at + missing < len(starts) else len(values)
            part = slice(starts[at], stop)
            self.add(evidence(values[part], self.ladder, None if names is None else names[part]))
            at += missing
        if self.mirror is not None:
            self.mirror.update(-values, groups)
        return self

    def add(self, part: Evidence) -> Monitor:
        """Take sums of a part of the stream, of any worker; a look is made as soon as a block is full."""
        self.open = part if self.open is None else self.open + part
        if self.open.items >= self.block:
            self._look(self.open)
            self.open = None
        return self

    def _look(self, whole: Evidence) -> None:
        self.log_m = shiryaev_roberts(self.log_m, whole.log_e)
        self.flags = self.flags + whole.flags
        self.squares = self.squares + whole.flags**2
        self.items += whole.items
        self.blocks += 1
        if not self.alarm and self.statistic >= self.run_length / self.block:
            self.alarm, self.alarmed_at = True, self.items

    @property
    def statistic(self) -> float:
        """The mean over rungs and bets of M; an alarm at ``run_length / block``."""
        return float(np.exp(np.clip(np.logaddexp.reduce(self.log_m, axis=None) - np.log(self.log_m.size), None, 700.0)))

    @property
    def directions(self) -> dict[str, Monitor]:
        """``up``, this monitor, and ``down``, its mirror where it has one."""
        return {"up": self} | ({} if self.mirror is None else {"down": self.mirror})

    def acknowledge(self) -> Monitor:
        """The alarm was seen: the evidence of whoever alarmed begins anew, with the promise; counts stay.

        Items of the block that is open were there before: they count, and are no evidence.
        """
        for one in self.directions.values():
            if one.alarm:
                one._begin_anew()
        return self

    def _begin_anew(self) -> None:
        self.log_m = np.full_like(self.log_m, -np.inf)
        self.alarm, self.alarmed_at = False, None
        if self.open is not None:
            self.open = replace(self.open, log_e=np.zeros_like(self.open.log_e))

    def flag_rate(self, rung: int, *, level: float = 0.05) -> tuple[float, float]:
        """Interval of the rate above a rung, valid at every look at once; of items, not of groups."""
        return always_valid_interval(float(self.flags[rung]), self.items, level=level)

    def clumps(self) -> float:
        """Largest ratio of the variance of block counts to the binomial's, over the rungs of .1 and more.

        Above 1.5 flags come in clumps: items of one source follow each other, and should be given as a group.
        """
        wide = self.ladder.rates >= 0.1
        if self.blocks < 20 or not wide.any():
            return float("nan")
        mean = self.flags[wide] / self.blocks
        variance = (self.squares[wide] - self.blocks * mean**2) / (self.blocks - 1)
        expected = mean * (1 - mean / (self.items / self.blocks))
        return float((variance / np.maximum(expected, 1e-12)).max())

    def state(self) -> dict[str, Array]:
        """What must survive a restart, as arrays of float64."""
        numbers = [self.items, self.blocks, self.alarm, np.nan if self.alarmed_at is None else self.alarmed_at]
        shape = (np.zeros_like(self.log_m), np.zeros_like(self.flags))
        rest = self.open or Evidence(*shape, 0.0)
        mirror = {} if self.mirror is None else self.mirror.state()
        return {f"mirror/{name}": one for name, one in mirror.items()} | {
            "log_m": self.log_m, "flags": self.flags, "squares": self.squares,
            "numbers": np.array(numbers, dtype=float), "open_log_e": rest.log_e, "open_flags": rest.flags,
            "open_items": np.array([rest.items]),
        }  # fmt: skip

    def resumed(self, state: Mapping[str, Array]) -> Monitor:
        """This monitor with the state of another of the same ladder.

        Raises
        ------
        UserError
            The state is of another ladder.
        """
        if state["log_m"].shape != self.log_m.shape:
            raise UserError(
                f"Expected the state of a ladder with {len(self.ladder.rates)} rungs, but got {len(state['log_m'])}. "
                "Start a new monitor with a new bundle."
            )
        self.log_m, self.flags, self.squares = (np.array(state[name]) for name in ("log_m", "flags", "squares"))
        items, blocks, alarm, at = state["numbers"].tolist()
        self.items, self.blocks, self.alarm = items, int(blocks), bool(alarm)
        self.alarmed_at = None if np.isnan(at) else at
        rest = Evidence(state["open_log_e"], state["open_flags"], float(state["open_items"][0]))
        self.open = rest if rest.items else None
        kept = {name.removeprefix("mirror/"): one for name, one in state.items() if name.startswith("mirror/")}
        if self.mirror is not None and kept:
            self.mirror.resumed(kept)
        return self


def _starts(values: Array, groups: Any) -> Array:
    """Where each item, or each run of one group, begins."""
    if groups is None:
        return np.arange(len(values))
    names = np.asarray(groups)
    if len(names) != len(values):
        raise UserError(f"Expected a group a score, but got {len(names)} for {len(values)}. Pass both.")
    return np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(names) else np.arange(0)


def always_valid_interval(flags: float, items: float, *, level: float = 0.05) -> tuple[float, float]:
    """Interval of a rate that holds at all looks at once, with probability ``1 - level`` [1].

    All p with ``ln B(x + 1, n - x + 1) - x ln p - (n - x) ln(1 - p) < ln(1 / level)``, x flags among n items: the
    mixture of likelihoods over a uniform rate, divided by the likelihood of p, is a martingale under p.

    Examples
    --------
    >>> [round(end, 3) for end in always_valid_interval(50, 1000)]
    [0.028, 0.08]

    References
    ----------
    [1] Robbins, Statistical methods related to the law of the iterated logarithm, Annals of Math. Statistics 1970.
    """
    if items <= 0:
        return 0.0, 1.0
    mixture = special.betaln(flags + 1, items - flags + 1) - np.log(1 / level)

    def beyond(p: float) -> float:
        return float(mixture - special.xlogy(flags, p) - special.xlog1py(items - flags, -p))

    rate, tiny = flags / items, 1e-15
    low = 0.0 if flags <= 0 or beyond(tiny) < 0 else optimize.brentq(beyond, tiny, rate, xtol=1e-12)
    high = 1.0 if flags >= items or beyond(1 - tiny) < 0 else optimize.brentq(beyond, rate, 1 - tiny, xtol=1e-12)
    return float(low), float(high)

"""What cannot be told apart: all pairs compared on the same units, and the sets of those that are tied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from outfield.errors import UserError
from outfield.stats.base import Level, Result
from outfield.stats.differences import Difference, paired_difference
from outfield.stats.multiplicity import holm
from outfield.types import Array

if TYPE_CHECKING:
    import polars as pl

MOST_SETS = 2000
"""Sets of ties beyond which nobody reads them: the search for more ends with a message."""


@dataclass(frozen=True, eq=False)
class Ties(Result):
    """All pairs of some things that were measured on the same units, and the sets of those that are tied.

    Attributes
    ----------
    names : tuple of str
        Best first.
    means : tuple of float
        Mean over units, in that order.
    pairs : tuple of (better, worse, Difference, p)
        Every pair: how far the worse is ahead (below 0), and p by Holm over all pairs.
    sets : tuple of tuples of str
        The largest sets within which no two differ, best first. A name stands in every set that it belongs to.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(0, 0.01, (12, 3)) + [0.9, 0.9, 0.7]
    >>> found = ties(values, names=["a", "b", "c"])
    >>> found.sets, found.best
    ((('b', 'a'), ('c',)), ('b', 'a'))
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    pairs: tuple[tuple[str, str, Difference, float], ...]
    sets: tuple[tuple[str, ...], ...]
    alpha: float = 0.05

    @property
    def best(self) -> tuple[str, ...]:
        """The best one and all that are not told apart from it."""
        first = self.names[0]
        worse = {other for better, other, _, p in self.pairs if better == first and p < self.alpha}
        return tuple(name for name in self.names if name not in worse)

    @property
    def letters(self) -> dict[str, str]:
        """Name to the letters of its sets: names that share a letter are tied.

        Examples
        --------
        >>> ties(np.array([[0.9, 0.1], [0.8, 0.2], [0.9, 0.2], [0.8, 0.1]]), names=["x", "y"]).letters
        {'x': 'a', 'y': 'b'}
        """
        marks = [_letter(i) for i in range(len(self.sets))]
        return {
            name: " ".join(mark for mark, some in zip(marks, self.sets, strict=True) if name in some)
            for name in self.names
        }

    def frame(self) -> pl.DataFrame:
        """A row a pair: the better, the worse, by how much with its interval, p by Holm."""
        import polars as pl

        return pl.DataFrame([
            {
                "better": better, "worse": worse, "difference": -one.estimate.value, "low": -one.estimate.high,
                "high": -one.estimate.low, "p": p, "tied": p >= self.alpha, "n": self.n_units,
            }
            for better, worse, one, p in self.pairs
        ])  # fmt: skip


def ties(
    values: Any,
    *,
    names: Sequence[str],
    higher_is_better: bool = True,
    alpha: float = 0.05,
    level: Level = "model",
    measures: bool = False,
) -> Ties:
    """Which columns of a table of units x things are tied: paired differences over units, Holm over all pairs.

    A pair is tied where its corrected p is not below ``alpha``: the data do not tell the two apart, which is not to say
    that they are equal. Ties are not transitive, so they are given as the largest sets without a difference within [1].

    Parameters
    ----------
    values : array [units, k]
        Of independent units: strategies with their seeds averaged, seeds, or items.
    names : sequence of str
        Of the k things.
    higher_is_better : bool
    alpha : float
        The chance of one false difference or more.
    level : what the units are
    measures : bool
        Whether values are measures, none right or wrong even where all are 0 or 1: see :func:`paired_difference`.

    Raises
    ------
    UserError
        Fewer than two things or two units, or a value is missing.

    Examples
    --------
    >>> ties([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]], names=["a", "b", "c"]).sets
    (('a', 'b', 'c'),)

    References
    ----------
    [1] Piepho, An algorithm for a letter-based representation of all-pairwise comparisons, Journal of Computational and
    Graphical Statistics 2004.
    """
    table = _checked(values, names)
    means = table.mean(axis=0)
    order = np.lexsort((np.asarray(names), -means if higher_is_better else means))
    labels = tuple(str(names[i]) for i in order)
    columns = {label: table[:, i] for label, i in zip(labels, order, strict=True)}
    turn = slice(None, None, 1 if higher_is_better else -1)
    found = [
        (a, b, paired_difference(*(columns[a], columns[b])[turn], measures=measures))
        for a, b in combinations(labels, 2)
    ]
    corrected = holm([each.p for _, _, each in found])
    pairs = tuple((a, b, each, float(p)) for (a, b, each), p in zip(found, corrected, strict=True))
    differing = [(a, b) for a, b, _, p in pairs if p < alpha]
    return Ties(
        labels, tuple(float(means[i]) for i in order), pairs, tied_sets(labels, differing), alpha,
        level=level, n_units=len(table), correction=f"Holm over {len(pairs)} pairs",
    )  # fmt: skip


def tied_sets(names: Sequence[str], differing: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The largest sets of names that hold no differing pair, in the order of the names.

    Raises
    ------
    UserError
        There are more than 2,000 such sets.

    Examples
    --------
    >>> tied_sets("abcd", [("a", "c"), ("a", "d"), ("b", "d")])
    (('a', 'b'), ('b', 'c'), ('c', 'd'))
    """
    sets: set[frozenset[str]] = {frozenset(names)}
    for pair in differing:
        split = {some for some in sets if some.issuperset(pair)}
        parts = {some - {one} for some in split for one in pair}
        kept = sets - split
        sets = kept | {part for part in parts if not any(part < other for other in parts | kept)}
        if len(sets) > MOST_SETS:
            raise UserError(
                f"Expected ties that can be read, but there are more than {MOST_SETS:,} sets of {len(names)} names. "
                "Compare fewer of them."
            )
    place = {name: i for i, name in enumerate(names)}
    ordered = (sorted(place[name] for name in some) for some in sets)
    return tuple(tuple(names[i] for i in some) for some in sorted(ordered))


def _checked(values: Any, names: Sequence[str]) -> Array:
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(names) or min(table.shape) < 2:
        raise UserError(
            f"Expected a table of at least two units and two named columns, but got shape {list(table.shape)} and "
            f"{len(names)} names. Add models, seeds or items."
        )
    if not np.isfinite(table).all():
        raise UserError("Expected a value in every cell, but some are missing. Leave out the rows that miss them.")
    return table


def _letter(place: int) -> str:
    """a to z, then a2, b2, ..."""
    rounds, at = divmod(place, len(ascii_lowercase))
    return ascii_lowercase[at] + (str(rounds + 1) if rounds else "")

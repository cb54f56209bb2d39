"""Proportional factorial designs in closed form: cell means, weights, sums of squares, resamples of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from outfield.stats.units import resample_weights
from outfield.types import Array

Term = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Design:
    """Cell means [..., *levels] and weights of a proportional design with N observations.

    ``within`` is the sum of squares inside cells; the first axis is the one whose units are resampled.
    """

    mean: Array
    weights: tuple[Array, ...]
    n: float
    within: Array | float

    @property
    def order(self) -> int:
        return len(self.weights)


def uniform(shape: Sequence[int]) -> tuple[Array, ...]:
    """Equal weights along every axis."""
    return tuple(np.full(size, 1 / size) for size in shape)


@dataclass(frozen=True, eq=False)
class Cells:
    """Values per resampled unit: means and inner sums of squares [units, *levels], weights of the levels.

    ``replicates`` is the mean number of observations of a unit's cell.
    """

    mean: Array
    inner: Array
    weights: tuple[Array, ...]
    replicates: float

    def design(self, ids: Array) -> Design:
        """All units once; ``ids`` maps each to a level of the first factor."""
        own = np.bincount(ids)
        mix = np.zeros((1, len(own), len(ids)))
        mix[0, ids, np.arange(len(ids))] = 1 / own[ids]
        return self.mixed(mix, (own / len(ids))[None])

    def mixed(self, mix: Array, first: Array, units: float | None = None) -> Design:
        """The design of resamples: ``mix`` [b, levels, units] averages units, ``first`` [b, levels] weighs levels.

        ``units`` is how many units a resample has, by default all.
        """
        means, squares, inner = (mix @ each for each in self._summands)
        return self._of_means(means, squares, inner, first, len(self.mean) if units is None else units)

    @property
    def _summands(self) -> tuple[Array, Array, Array]:
        """Of every unit what is averaged over units: cell means, their squares, the sum of squares within cells."""
        flat = self.mean.reshape(len(self.mean), -1)
        return flat, flat**2, self.inner.reshape(len(flat), -1).sum(1)

    def _of_means(self, means: Array, squares: Array, inner: Array, first: Array, units: float) -> Design:
        rest = outer(self.weights).ravel()
        n = units * rest.size * self.replicates
        spread = np.einsum("bg,bgp,p->b", first, squares - means**2, rest) * n
        within = np.einsum("bg,bg->b", first, inner) * units
        shaped = means.reshape(*means.shape[:2], *self.mean.shape[1:])
        return Design(shaped, (first, *self.weights), n, np.maximum(spread, 0) + within)

    def without_each(self, levels: Array, out: Array) -> Design:
        """The design of levels without each unit of ``out`` in turn; levels keep their weights."""
        sizes = np.bincount(levels)
        own = np.equal.outer(np.arange(len(sizes)), levels) / sizes[:, None]
        parts, at = [], (np.arange(len(out)), levels[out])
        for each in self._summands:
            mean = own @ each
            left = np.repeat(mean[None], len(out), axis=0)
            share = (1 / sizes[levels[out]]).reshape(-1, *[1] * (each.ndim - 1))
            left[at] = (mean[levels[out]] - share * each[out]) / (1 - share)
            parts.append(left)
        first = np.broadcast_to(sizes / len(levels), (len(out), len(sizes)))
        return self._of_means(parts[0], parts[1], parts[2], first, len(levels) - 1)

    def counted(self, counts: Array) -> Design:
        """The design of resamples of units that are levels themselves: ``counts`` [b, units], equal sums."""
        units = counts[0].sum()
        share = counts / units
        n = float(units * outer(self.weights).size * self.replicates)
        inner = counts @ self.inner.reshape(len(self.mean), -1).sum(1)
        return Design(self.mean[None], (share, *self.weights), n, inner)


def outer(weights: Sequence[Array]) -> Array:
    """The outer product of weights: the weight of every cell."""
    out: Array = np.ones(())
    for each in weights:
        out = np.multiply.outer(out, each)
    return out


def _subsets(order: int) -> list[Term]:
    return [term for size in range(1, order + 1) for term in combinations(range(order), size)]


def _mean_squares(design: Design) -> dict[Term, Array]:
    """``N sum w_B mean_B^2`` of every set B of factors, [b] each; means are taken about the grand mean."""
    first, *rest = design.weights
    grand = _averaged(design.mean, rest, range(len(rest)))
    centre = np.einsum("bg,bg->b", first, np.broadcast_to(grand, first.shape))
    out: dict[Term, Array] = {(): np.zeros(len(first))}
    for term in _subsets(len(rest)):
        kept = _averaged(design.mean, rest, [axis for axis in range(len(rest)) if axis not in term])
        weight = outer([rest[axis] for axis in term]).ravel()
        levels = kept.reshape(*kept.shape[:2], -1)
        over = _mixed_levels(first, levels) - centre[:, None]
        out[tuple(axis + 1 for axis in term)] = design.n * (over**2 @ weight)
        out[(0, *(axis + 1 for axis in term))] = design.n * _squares(first, levels, weight, centre)
    out[(0,)] = design.n * _squares(first, grand[..., None], np.ones(1), centre)
    return out


def _averaged(mean: Array, weights: Sequence[Array], axes: Sequence[int]) -> Array:
    for axis in sorted(axes, reverse=True):
        mean = np.tensordot(mean, weights[axis], axes=(axis + 2, 0))
    return np.asarray(mean)


def _mixed_levels(first: Array, levels: Array) -> Array:
    shared = len(levels) == 1
    return np.asarray(first @ levels[0] if shared else np.einsum("bg,bgp->bp", first, levels))


def _squares(first: Array, levels: Array, weight: Array, centre: Array) -> Array:
    """``sum over g, p of first weight (level - centre)^2``, expanded when levels are shared by the batch."""
    if len(levels) > 1:
        return np.asarray(np.einsum("bg,bgp,p->b", first, (levels - centre[:, None, None]) ** 2, weight))
    shift = float(centre.mean())
    moved, off = levels[0] - shift, centre - shift
    square, linear = moved**2 @ weight, moved @ weight
    return np.asarray(first @ square - 2 * off * (first @ linear) + off**2)


def sums_of_squares(design: Design) -> dict[Term, Array]:
    """Sum of squares of every term, [b] each: inclusion-exclusion of the mean squares of marginal means."""
    squares = _mean_squares(design)
    out = {}
    for term in _subsets(design.order):
        parts = (subset for size in range(len(term) + 1) for subset in combinations(term, size))
        total = sum((-1) ** (len(term) - len(part)) * squares[part] for part in parts)
        out[term] = np.maximum(total, 0.0)
    return out


def resamples(cells: Cells, ids: Array, *, units_are_levels: bool, draws: int, seed: int) -> Iterator[Design]:
    """Designs of resampled units, in batches.

    Units that are levels of the first factor (models, or strategies with models inside) are drawn with
    replacement, then the models inside each; units nested in fixed levels are drawn within each level.
    """
    n, width = len(cells.mean), cells.mean[0].size
    identity = len(set(ids.tolist())) == n
    rng = np.random.default_rng(seed)
    if identity and units_are_levels:
        for start in range(0, draws, 2000):
            yield cells.counted(rng.multinomial(n, np.full(n, 1 / n), size=min(2000, draws - start)).astype(float))
    elif units_are_levels:
        sizes = np.bincount(ids)
        for mix in resample_weights(ids, draws, seed=seed, width=width):
            yield cells.mixed(mix, np.full(mix.shape[:2], 1 / len(sizes)))
    else:
        yield from _nested(cells, ids, draws, width, rng)


def left_out(cells: Cells, ids: Array, *, units_are_levels: bool) -> tuple[Design, Array | None]:
    """Designs without each unit, and the strata that units belong to (None where they are one).

    Units that are levels are left out whole (a strategy with its models). Units nested in fixed levels are left out one
    by one, and levels keep their weights; a level's only unit cannot be left out, and is kept.
    """
    n = len(cells.mean)
    if units_are_levels and len(set(ids.tolist())) == n:
        return cells.counted(1 - np.eye(n)), None
    sizes = np.bincount(ids)
    if units_are_levels:
        own = np.equal.outer(np.arange(len(sizes)), ids).astype(float)
        first = (1 - np.eye(len(sizes))) * sizes
        mix = np.broadcast_to(own / sizes[:, None], (len(sizes), *own.shape))
        return cells.mixed(mix, first / first.sum(1, keepdims=True), n - n / len(sizes)), None
    out = np.flatnonzero(sizes[ids] > 1)
    return cells.without_each(ids, out), ids[out]


def _nested(cells: Cells, ids: Array, draws: int, width: int, rng: np.random.Generator) -> Iterator[Design]:
    sizes = np.bincount(ids)
    batch = max(1, int(4e6 / (len(sizes) * max(len(ids), width))))
    for start in range(0, draws, batch):
        count = min(batch, draws - start)
        mix = np.zeros((count, len(sizes), len(ids)))
        for level, size in enumerate(sizes):
            members = np.flatnonzero(ids == level)
            mix[:, level, members] = rng.multinomial(size, np.full(size, 1 / size), size=count) / size
        yield cells.mixed(mix, np.broadcast_to(sizes / len(ids), (count, len(sizes))))

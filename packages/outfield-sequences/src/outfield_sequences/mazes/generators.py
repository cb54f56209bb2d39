"""Generators of mazes: each gives the passages of a grid, drawn from a random stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from outfield_sequences.mazes.maze import Cell, Passage, Passages, all_passages, passage, within

Generator: TypeAlias = Callable[[int, np.random.Generator], Passages]


def depth_first(side: int, rng: np.random.Generator) -> Passages:
    """A spanning tree of long corridors: a random walk to new cells, that goes back where there are none."""
    way = [_cell(side, rng)]
    seen, found = {way[0]}, set()
    while way:
        if new := [cell for cell in within(side, way[-1]) if cell not in seen]:
            cell = new[rng.integers(len(new))]
            found.add(passage(way[-1], cell))
            seen.add(cell)
            way.append(cell)
        else:
            way.pop()
    return frozenset(found)


def wilson(side: int, rng: np.random.Generator) -> Passages:
    """A spanning tree, each as likely: random walks to the tree, their loops erased [1].

    References
    ----------
    [1] Wilson. Generating Random Spanning Trees More Quickly than the Cover Time. STOC 1996.
    """
    tree = {_cell(side, rng)}
    found: set[Passage] = set()
    for start in ((row, column) for row in range(side) for column in range(side)):
        left_to = _walk(side, start, tree, rng)
        cell = start
        while cell not in tree:
            tree.add(cell)
            found.add(passage(cell, left_to[cell]))
            cell = left_to[cell]
    return frozenset(found)


def _walk(side: int, start: Cell, tree: set[Cell], rng: np.random.Generator) -> dict[Cell, Cell]:
    """Where a random walk that ends in the tree last left each of its cells to."""
    left_to: dict[Cell, Cell] = {}
    cell = start
    while cell not in tree:
        near = list(within(side, cell))
        left_to[cell] = near[rng.integers(len(near))]
        cell = left_to[cell]
    return left_to


def kruskal(side: int, rng: np.random.Generator) -> Passages:
    """A spanning tree of passages taken in random order, unless they close a loop."""
    possible = all_passages(side)
    parents: dict[Cell, Cell] = {}

    def root(cell: Cell) -> Cell:
        while cell in parents:
            cell = parents[cell]
        return cell

    found = set()
    for number in rng.permutation(len(possible)):
        one, other = map(root, possible[number])
        if one != other:
            parents[one] = other
            found.add(possible[number])
    return frozenset(found)


def percolation(side: int, rng: np.random.Generator, share: float = 0.5) -> Passages:
    """Each passage is open with the probability ``share``: there are loops, and parts that cannot be reached."""
    possible = all_passages(side)
    return frozenset(one for one, here in zip(possible, rng.random(len(possible)) < share, strict=True) if here)


GENERATORS: dict[str, Generator] = {
    "dfs": depth_first,
    "wilson": wilson,
    "kruskal": kruskal,
    "percolation": percolation,
}


def _cell(side: int, rng: np.random.Generator) -> Cell:
    row, column = rng.integers(side, size=2).tolist()
    return row, column

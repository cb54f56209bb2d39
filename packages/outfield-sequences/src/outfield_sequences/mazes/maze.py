"""A maze with its way from origin to target, and the solver."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from outfield.errors import UserError

Cell: TypeAlias = tuple[int, int]
"""Row and column."""
Passage: TypeAlias = tuple[Cell, Cell]
"""Two neighbours that are open to each other, the smaller cell first."""
Passages: TypeAlias = frozenset[Passage]
DIRECTIONS: dict[str, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


@dataclass(frozen=True)
class Maze:
    """Passages between the cells of a square grid, and the shortest path from an origin to a target.

    Parameters
    ----------
    side : int
        Cells of an edge.
    passages : frozenset of pairs of neighbours, the smaller cell first
    origin, target : Cell
    path : tuple of Cell
        From origin to target, both included.

    Examples
    --------
    >>> maze = Maze.solved(2, frozenset({((0, 0), (0, 1)), ((0, 1), (1, 1))}), (0, 0), (1, 1))
    >>> maze.path, maze.steps, maze.direction
    (((0, 0), (0, 1), (1, 1)), 2, 'right')
    """

    side: int
    passages: Passages
    origin: Cell
    target: Cell
    path: tuple[Cell, ...]

    @classmethod
    def solved(cls, side: int, passages: Passages, origin: Cell, target: Cell) -> Maze:
        """The maze with its shortest path; of several, the first in the order of cells.

        Raises
        ------
        UserError
            No path leads from the origin to the target.
        """
        return cls(side, passages, origin, target, shortest_path(passages, origin, target))

    @property
    def steps(self) -> int:
        """Of the path."""
        return len(self.path) - 1

    @property
    def direction(self) -> str:
        """Of the first step: up, down, left or right."""
        (row, column), (next_row, next_column) = self.path[:2]
        step = (next_row - row, next_column - column)
        return next(name for name, one in DIRECTIONS.items() if one == step)


def passage(one: Cell, other: Cell) -> Passage:
    """Two neighbours as a passage.

    Examples
    --------
    >>> passage((1, 0), (0, 0))
    ((0, 0), (1, 0))
    """
    return (one, other) if one < other else (other, one)


def within(side: int, cell: Cell) -> Iterator[Cell]:
    """The neighbours of a cell on a grid."""
    row, column = cell
    for down, right in DIRECTIONS.values():
        if 0 <= row + down < side and 0 <= column + right < side:
            yield row + down, column + right


def all_passages(side: int) -> tuple[Passage, ...]:
    """Every pair of neighbours of a grid, in order."""
    cells = [(row, column) for row in range(side) for column in range(side)]
    return tuple((cell, other) for cell in cells for other in sorted(within(side, cell)) if cell < other)


def neighbours(passages: Iterable[Passage]) -> dict[Cell, list[Cell]]:
    """The cells that each cell is open to, in order."""
    found: dict[Cell, list[Cell]] = {}
    for one, other in sorted(passages):
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return {cell: sorted(others) for cell, others in found.items()}


def distances(passages: Iterable[Passage], start: Cell) -> dict[Cell, int]:
    """Steps from a cell to every cell that can be reached from it: breadth-first search."""
    near, found, ahead = neighbours(passages), {start: 0}, deque([start])
    while ahead:
        cell = ahead.popleft()
        for other in near.get(cell, ()):
            if other not in found:
                found[other] = found[cell] + 1
                ahead.append(other)
    return found


def shortest_path(passages: Passages, origin: Cell, target: Cell) -> tuple[Cell, ...]:
    """The cells from origin to target on a shortest path; of several, the first in the order of cells.

    Raises
    ------
    UserError
        There is none.
    """
    left, near = distances(passages, target), neighbours(passages)
    if origin not in left:
        raise UserError(f"Expected a way from {origin} to {target}, but the maze has none. Choose other cells.")
    path = [origin]
    while path[-1] != target:
        path.append(next(cell for cell in near[path[-1]] if left[cell] == left[path[-1]] - 1))
    return tuple(path)


def shortest_paths(passages: Passages, origin: Cell, target: Cell) -> int:
    """How many shortest paths there are.

    Examples
    --------
    >>> shortest_paths(frozenset(all_passages(2)), (0, 0), (1, 1))
    2
    """
    far, near = distances(passages, origin), neighbours(passages)
    ways = {origin: 1}
    for cell in sorted(far, key=far.__getitem__):
        for other in near.get(cell, ()):
            if far[other] == far[cell] + 1:
                ways[other] = ways.get(other, 0) + ways[cell]
    return ways.get(target, 0)

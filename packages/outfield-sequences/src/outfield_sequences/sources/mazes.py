from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield import keys
from outfield.data.base import Dataset, Source, row_rng
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError
from outfield_sequences.mazes.generators import GENERATORS
from outfield_sequences.mazes.maze import DIRECTIONS, Cell, Maze, Passages, distances, shortest_paths
from outfield_sequences.mazes.pictures import picture_of
from outfield_sequences.mazes.tokens import number_of, tokens_of

FORMS = ("pictures", "tokens")
TRIES = 1000
"""Mazes that are drawn, at most, for one that passes the filters."""


@dataclass(frozen=True)
class Mazes(Source):
    """Mazes with a way from an origin to a target, as pictures or as tokens [1].

    The label is the direction of the first step (up, down, left, right), the target the number of steps. The source is
    the configuration: equal parameters have equal hashes and keys, and give equal mazes.

    Parameters
    ----------
    generator : {"dfs", "wilson", "kruskal", "percolation"}
    side : int
        Cells of an edge.
    n : int
        Mazes.
    seed : int
    form : {"pictures", "tokens"}
        Pictures [2 side + 1, 2 side + 1, 3]; or rows of the numbers of tokens, up to where the path begins, which
        padding (0) before the first token makes equally long.
    fewest : int
        Filter: steps that a path has at least.
    unique : bool
        Filter: whether there is one shortest path alone. Spanning trees have no other.
    distinct : bool
        Filter: whether no maze comes twice.

    Raises
    ------
    UserError
        No such generator or form; filters that next to no maze passes.

    Examples
    --------
    >>> source = Mazes(side=3, n=2)
    >>> data = source.load()
    >>> data.read(slice(0, 2)).shape, [data.classes[label] for label in data.labels], data.targets
    ((2, 7, 7, 3), ['left', 'right'], array([2., 1.]))
    >>> Mazes(side=3, n=2, form="tokens").load().read(slice(0, 2)).shape
    (2, 41)

    References
    ----------
    [1] Ivanitskiy et al. A Configurable Library for Generating and Manipulating Maze Datasets. arXiv 2309.10498, 2023.
    """

    generator: str = "dfs"
    side: int = 5
    n: int = 1000
    seed: int = 0
    form: str = "pictures"
    fewest: int = 1
    unique: bool = True
    distinct: bool = False

    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "tokens"})

    def __post_init__(self) -> None:
        for value, known in ((self.generator, tuple(GENERATORS)), (self.form, FORMS)):
            if value not in known:
                raise UserError(f"Expected one of {', '.join(known)}, but got {value!r}. Choose one of them.")
        if self.side < 2 or self.n < 1 or self.fewest < 1:
            raise UserError(
                f"Expected a side of at least 2, a maze and a step, but got side={self.side}, n={self.n}, "
                f"fewest={self.fewest}. Raise them."
            )

    def files(self) -> tuple[Path, ...]:
        return ()

    def key(self) -> str:
        """The content key of the configuration, the form aside: equal for equal mazes."""
        stated = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "form"}
        return keys.key(mazes=stated)

    def mazes(self) -> tuple[Maze, ...]:
        """The mazes, solved; each is drawn by its own number, whatever there are beside."""
        found: dict[Maze, None] = {}
        listed = []
        for row in range(self.n):
            maze = self._maze(row, found if self.distinct else ())
            found[maze] = None
            listed.append(maze)
        return tuple(listed)

    def _maze(self, row: int, taken: Container[Maze]) -> Maze:
        rng = row_rng(f"{self.generator} {self.side}", self.seed, row)
        for _ in range(TRIES):
            maze = _drawn(GENERATORS[self.generator](self.side, rng), self.side, rng)
            if maze is not None and self._passes(maze) and maze not in taken:
                return maze
        raise UserError(
            f"Expected mazes that pass the filters, but {TRIES:,} draws of {self} gave none for row {row}. "
            "Lower `fewest` or `n`, or raise `side`."
        )

    def _passes(self, maze: Maze) -> bool:
        several = self.unique and shortest_paths(maze.passages, maze.origin, maze.target) > 1
        return maze.steps >= self.fewest and not several

    def load(self) -> Dataset:
        mazes = self.mazes()
        items = np.stack([picture_of(maze) for maze in mazes]) if self.form == "pictures" else self._rows(mazes)
        labels = [list(DIRECTIONS).index(maze.direction) for maze in mazes]
        return ArrayDataset(items, labels, classes=list(DIRECTIONS), targets=[maze.steps for maze in mazes])

    def _rows(self, mazes: Sequence[Maze]) -> NDArray[np.float32]:
        """Numbers of the tokens, padded on the left."""
        written = [
            [number_of(token) for token in tokens_of(maze, row_rng("tokens", self.seed, row), path=False)]
            for row, maze in enumerate(mazes)
        ]
        longest = max(map(len, written))
        return np.array([[0] * (longest - len(one)) + one for one in written], np.float32)


def _drawn(passages: Passages, side: int, rng: np.random.Generator) -> Maze | None:
    """A maze between two cells of the largest part that hangs together; None where no cell has a way out."""
    part = _largest_part(passages, side)
    if len(part) < 2:
        return None
    origin, target = (part[number] for number in rng.choice(len(part), size=2, replace=False))
    return Maze.solved(side, passages, origin, target)


def _largest_part(passages: Passages, side: int) -> list[Cell]:
    left = {(row, column) for row in range(side) for column in range(side)}
    parts = []
    while left:
        parts.append(sorted(distances(passages, min(left))))
        left -= set(parts[-1])
    return max(parts, key=len)

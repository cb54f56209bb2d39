"""A maze as a picture, and back: a pixel for each cell, and for each wall or passage between cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError
from outfield_sequences.mazes.maze import Cell, Maze, all_passages, neighbours, passage

WALL, OPEN, ORIGIN, TARGET, PATH = (0, 0, 0), (255, 255, 255), (0, 255, 0), (255, 0, 0), (0, 0, 255)


def picture_of(maze: Maze, *, path: bool = False) -> NDArray[np.uint8]:
    """The maze in colours [2 side + 1, 2 side + 1, 3]: walls black, passages white, origin green, target red.

    Parameters
    ----------
    maze : Maze
    path : bool
        Whether the path is shown, in blue.

    Examples
    --------
    >>> maze = Maze.solved(2, frozenset({((0, 0), (0, 1)), ((0, 1), (1, 1))}), (0, 0), (1, 1))
    >>> picture_of(maze)[:, :, 1]
    array([[  0,   0,   0,   0,   0],
           [  0, 255, 255, 255,   0],
           [  0,   0,   0, 255,   0],
           [  0, 255,   0,   0,   0],
           [  0,   0,   0,   0,   0]], dtype=uint8)
    """
    picture = np.zeros((2 * maze.side + 1, 2 * maze.side + 1, 3), np.uint8)
    picture[1::2, 1::2] = OPEN
    for one in maze.passages:
        picture[_between(one)] = OPEN
    if path:
        for before, cell in zip(maze.path, maze.path[1:], strict=False):
            picture[_between((before, cell))] = picture[_at(cell)] = PATH
    picture[_at(maze.origin)], picture[_at(maze.target)] = ORIGIN, TARGET
    return picture


def maze_of_picture(picture: NDArray[np.uint8]) -> Maze:
    """The maze that a picture shows: its path as it is drawn, or solved where none is.

    Raises
    ------
    UserError
        It has not one origin and one target, or is no square of odd sides.

    Examples
    --------
    >>> maze = Maze.solved(2, frozenset({((0, 0), (0, 1)), ((0, 1), (1, 1))}), (0, 0), (1, 1))
    >>> maze_of_picture(picture_of(maze)) == maze_of_picture(picture_of(maze, path=True)) == maze
    True
    """
    side = len(picture) // 2
    if picture.shape != (2 * side + 1, 2 * side + 1, 3):
        raise UserError(f"Expected a picture of a maze [2 side + 1, 2 side + 1, 3], but got {picture.shape}.")
    possible = all_passages(side)
    passages = frozenset(one for one in possible if picture[_between(one)].any())
    origin, target = _only(picture, ORIGIN), _only(picture, TARGET)
    drawn = [one for one in possible if tuple(picture[_between(one)]) == PATH]
    if not drawn:
        return Maze.solved(side, passages, origin, target)
    near, path = neighbours(drawn), [origin]
    while path[-1] != target:
        path.append(next(cell for cell in near[path[-1]] if cell not in path[-2:]))
    return Maze(side, passages, origin, target, tuple(path))


def _at(cell: Cell) -> Cell:
    return 2 * cell[0] + 1, 2 * cell[1] + 1


def _between(cells: tuple[Cell, Cell]) -> Cell:
    (row, column), (other_row, other_column) = passage(*cells)
    return row + other_row + 1, column + other_column + 1


def _only(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> Cell:
    """The one cell of a colour."""
    cells = np.argwhere((picture[1::2, 1::2] == colour).all(axis=2)).tolist()
    if len(cells) != 1:
        raise UserError(f"Expected one cell of the colour {colour}, but got {len(cells)}. Draw one origin, one target.")
    return cells[0][0], cells[0][1]

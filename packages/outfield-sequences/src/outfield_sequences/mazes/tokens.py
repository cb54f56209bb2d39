"""A maze as tokens, and back: the list of its passages, origin, target, path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isqrt

import numpy as np

from outfield.errors import UserError
from outfield_sequences.mazes.maze import Cell, Maze, passage

PADDING, CONNECTS, END = "<PADDING>", "<-->", ";"
SECTIONS = ("ADJLIST", "ORIGIN", "TARGET", "PATH")
WORDS = (PADDING, *(f"<{name}_{end}>" for name in SECTIONS for end in ("START", "END")), CONNECTS, END)
"""The tokens that are no cells; their numbers are 0 to 10."""


def tokens_of(maze: Maze, rng: np.random.Generator | None = None, *, path: bool = True) -> list[str]:
    """The maze in words: adjacency list, origin, target, path.

    Parameters
    ----------
    maze : Maze
    rng : numpy generator, optional
        Shuffles the adjacency list and turns its pairs; without it they are in order.
    path : bool
        False ends where the path begins: what a model is asked with.

    Examples
    --------
    >>> maze = Maze.solved(2, frozenset({((0, 0), (0, 1)), ((0, 1), (1, 1))}), (0, 0), (1, 1))
    >>> " ".join(tokens_of(maze, path=False)[5:])
    '(0,1) <--> (1,1) ; <ADJLIST_END> <ORIGIN_START> (0,0) <ORIGIN_END> <TARGET_START> (1,1) <TARGET_END> <PATH_START>'
    """
    written = [
        *_section("ADJLIST", _adjacency(maze, rng)),
        *_section("ORIGIN", [_word(maze.origin)]),
        *_section("TARGET", [_word(maze.target)]),
    ]
    return [*written, *(_section("PATH", map(_word, maze.path)) if path else ["<PATH_START>"])]


def maze_of_tokens(tokens: Sequence[str], side: int) -> Maze:
    """The maze of a grid that tokens write, its path included.

    Raises
    ------
    UserError
        A section is missing, or is no list of cells.

    Examples
    --------
    >>> maze = Maze.solved(2, frozenset({((0, 0), (0, 1)), ((0, 1), (1, 1))}), (0, 0), (1, 1))
    >>> maze_of_tokens(tokens_of(maze), side=2) == maze
    True
    """
    pairs = [_cell(word) for word in _read("ADJLIST", tokens) if word not in (CONNECTS, END)]
    passages = frozenset(passage(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True))
    (origin,), (target,) = (map(_cell, _read(name, tokens)) for name in ("ORIGIN", "TARGET"))
    return Maze(side, passages, origin, target, tuple(map(_cell, _read("PATH", tokens))))


def number_of(token: str) -> int:
    """The number of a token. That of a cell does not depend on the grid: cells of a smaller one come first.

    Examples
    --------
    >>> [number_of(token) for token in ("<PADDING>", ";", "(0,0)", "(0,1)", "(1,1)", "(1,0)", "(0,2)")]
    [0, 10, 11, 12, 13, 14, 15]
    """
    if token in WORDS:
        return WORDS.index(token)
    row, column = _cell(token)
    shell = max(row, column)
    return len(WORDS) + shell * shell + (row if column == shell else 2 * shell - column)


def token_of(number: int) -> str:
    """The token of a number: ``number_of`` the other way round.

    Examples
    --------
    >>> [token_of(number) for number in (10, 11, 14)]
    [';', '(0,0)', '(1,0)']
    """
    if number < len(WORDS):
        return WORDS[number]
    shell = isqrt(number - len(WORDS))
    place = number - len(WORDS) - shell * shell
    return _word((place, shell) if place <= shell else (shell, 2 * shell - place))


def vocabulary(side: int) -> int:
    """How many tokens mazes of a side have.

    Examples
    --------
    >>> vocabulary(2)
    15
    """
    return len(WORDS) + side * side


def _adjacency(maze: Maze, rng: np.random.Generator | None) -> Iterator[str]:
    pairs = sorted(maze.passages)
    if rng is not None:
        turned = rng.random(len(pairs)) < 0.5
        pairs = [pairs[i][::-1] if turned[i] else pairs[i] for i in rng.permutation(len(pairs))]
    for one, other in pairs:
        yield from (_word(one), CONNECTS, _word(other), END)


def _section(name: str, words: Sequence[str] | Iterator[str]) -> Iterator[str]:
    yield from (f"<{name}_START>", *words, f"<{name}_END>")


def _read(name: str, tokens: Sequence[str]) -> Sequence[str]:
    """The words between the two ends of a section."""
    ends = [f"<{name}_START>", f"<{name}_END>"]
    if any(tokens.count(end) != 1 for end in ends):
        raise UserError(f"Expected tokens with one {ends[0]} and one {ends[1]}, but got {' '.join(tokens)[:80]!r}.")
    first, last = map(tokens.index, ends)
    return tokens[first + 1 : last]


def _word(cell: Cell) -> str:
    return f"({cell[0]},{cell[1]})"


def _cell(word: str) -> Cell:
    if (found := re.fullmatch(r"\((\d+),(\d+)\)", word)) is None:
        raise UserError(f"Expected a cell such as (0,1), but got {word!r}. Write tokens as `tokens_of` does.")
    return int(found[1]), int(found[2])

"""Rows of tables and texts: what the sources that read them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError

SHOWN = 10
"""Rows that a message names; the others are counted."""


def column(names: Sequence[str], wanted: str, where: str) -> str:
    """``wanted``, where it is there; ``UserError`` with the names that are, otherwise."""
    if wanted not in names:
        raise UserError(f"Expected a column {wanted!r} in {where}, but it has {', '.join(names)}. Name one of these.")
    return wanted


def numbered(values: Sequence[Any], chosen: Sequence[str] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels 0, 1, ... of label values, -1 for values that are not chosen, and the names of the classes.

    The classes are ``chosen`` in that order; or all values, sorted, integers by size.
    """
    texts = ["" if value is None else str(value) for value in values]
    classes = tuple(chosen) if chosen is not None else tuple(sorted(set(texts), key=_by_size))
    number = {name: place for place, name in enumerate(classes)}
    return np.array([number.get(text, -1) for text in texts], dtype=np.int64), classes


def kept(sound: NDArray[np.bool_], broken: str, where: str, what: str) -> tuple[NDArray[np.int64], list[str]]:
    """The sound rows, and what is to be said about the others.

    Raises
    ------
    UserError
        Rows are not sound and may not be left out.
    """
    faulty = np.flatnonzero(~sound)
    if not len(faulty):
        return np.arange(len(sound)), []
    shown = ", ".join(map(str, faulty[:SHOWN].tolist())) + (" ..." if len(faulty) > SHOWN else "")
    if broken != "leave out":
        raise UserError(
            f"Expected every row of {where} to have {what}, but {len(faulty)} of {len(sound)} have not: rows {shown} "
            "(the first is 0). Mend them, or set `broken: leave out` to go on without them."
        )
    return np.flatnonzero(sound), [f"{where}: {len(faulty)} rows without {what}: {shown}"]


def _by_size(text: str) -> tuple[int, int, str]:
    return (0, int(text), text) if text.lstrip("-").isdigit() else (1, 0, text)

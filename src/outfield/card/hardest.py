"""The inputs that a model and its detector find hardest, small enough to be shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from outfield.data.base import Dataset
from outfield.data.datasets import parts_of
from outfield.data.pictures import as_float, eight_bit
from outfield.metrics._quantiles import ranks
from outfield.reports.comparison.cards import ANSWERS

SIDE = 72
"""Longest edge of a shown picture in pixels."""
Numbers = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class Input:
    """One input: its row, a line about it, and a picture (as a data URI) or a text; neither where it is not there."""

    row: int
    about: str
    picture: str = ""
    text: str = ""


@dataclass(frozen=True)
class Group:
    """Inputs that are hard in one way.

    Examples
    --------
    >>> Group("ID inputs that look foreign", (Input(7, "class 3, score 0.9"),)).inputs[0].row
    7
    """

    title: str
    inputs: tuple[Input, ...]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Judged:
    """A data set with a detector's scores, row by row, and what else is known of the rows.

    Attributes
    ----------
    name : str
    ood : bool
        Whether it is an OOD set; else it is the ID test set.
    scores : array [n]
    rows : array [n]
        Numbers of the rows in the whole set.
    data : Dataset, optional
        The rows themselves, in this order.
    logits : array [n, C], optional
        What the model says to each.

    Examples
    --------
    >>> known = Judged("test", False, np.arange(100.0), np.arange(100))
    >>> threshold([known])
    94.0
    """

    name: str
    ood: bool
    scores: NDArray[np.float64]
    rows: NDArray[np.int64]
    data: Dataset | None = None
    logits: NDArray[np.float32] | None = None

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The class of each row, where the data say so."""
        return None if self.data is None else self.data.labels

    @property
    def parts(self) -> NDArray[np.str_] | None:
        """The part of a pooled set that each row belongs to."""
        return None if self.data is None else parts_of(self.data)


def hardest(sets: Sequence[Judged], classes: Sequence[str] | None, count: int = 8) -> tuple[Group, ...]:
    """For each OOD set the inputs that look most like ID data; ID inputs that look foreign; the surest mistakes.

    Parameters
    ----------
    sets : the ID test set and the OOD sets
    classes : names of the model's classes, or None for their numbers
    count : int
        Inputs of a group. Of a pooled set the hardest input of each part is taken, hardest parts first.

    Examples
    --------
    >>> known = Judged("test", False, np.arange(100.0), np.arange(100))
    >>> far = Judged("far", True, np.array([50.0, 200.0]), np.array([0, 1]))
    >>> [(group.title, group.inputs[0].row) for group in hardest([known, far], None, 1)]
    [('ID inputs that look foreign', 99), ('far: most like ID data', 0)]
    """
    at = threshold(sets)
    return tuple(group for one in sets for group in _groups(one, at, classes, count) if group.inputs)


def answers(test: Judged, classes: Sequence[str] | None) -> pl.DataFrame:
    """What a classifier said to each input that has a label, in the columns of ``ANSWERS``; none of other models.

    Examples
    --------
    >>> answers(Judged("test", False, np.zeros(2), np.arange(2)), None).height
    0
    """
    if test.logits is None or test.labels is None:
        return pl.DataFrame(schema=ANSWERS)
    said = test.logits.argmax(axis=1)
    known = np.flatnonzero(test.labels >= 0)
    return pl.DataFrame(
        {
            "row": test.rows[known],
            "label": [class_name(int(test.labels[at]), classes) for at in known],
            "said": [class_name(int(said[at]), classes) for at in known],
            "right": said[known] == test.labels[known],
        },
        schema=ANSWERS,
    )


def shown(test: Judged, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Text and picture of some inputs by their row number in the whole set; both empty where they are not there."""
    places = {int(row): at for at, row in enumerate(test.rows)}
    found = _shown(test, [places[row] for row in rows if row in places])
    return {one.row: (one.text, one.picture) for one in found}


def threshold(sets: Sequence[Judged]) -> float:
    """The score up to which an input is accepted as ID: the smallest that keeps 95% of the ID test set.

    Examples
    --------
    >>> threshold([Judged("test", False, np.arange(1000.0), np.arange(1000))])
    949.0
    """
    known = next(np.sort(one.scores) for one in sets if not one.ood)
    return float(known[ranks(len(known), 95)[0] - 1])


def _groups(one: Judged, at: float, classes: Sequence[str] | None, count: int) -> Iterator[Group]:
    n = len(one.scores)
    if one.ood:
        note = f"{np.sum(one.scores <= at):,} of {n:,} score at most {at:.3g} and are accepted as ID."
        note += "" if one.parts is None else " Shown: the hardest of each part."
        shown = _most_like(one, count)
        yield Group(f"{one.name}: most like ID data", _inputs(one, shown, classes), note + _tie(one, shown))
        return
    note = f"{np.sum(one.scores > at):,} of {n:,} score above {at:.3g} and are turned away."
    foreign = _order(one, -1)[:count]
    yield Group("ID inputs that look foreign", _inputs(one, foreign, classes), note + _tie(one, foreign))
    if one.logits is not None and one.labels is not None:
        wrong = np.flatnonzero(one.logits.argmax(1) != one.labels)
        odds = _log_odds(one.logits[wrong])
        order = np.lexsort((np.random.default_rng(0).random(len(wrong)), -odds))
        shown = wrong[order[:count]]
        said = _several(odds, odds[order[:count]], "log odds", "at random")
        yield Group("ID inputs that are surely misjudged", _inputs(one, shown, classes), said.strip())


def _most_like(one: Judged, count: int) -> Numbers:
    """Rows of the lowest scores; of a pooled set one of each part, for the parts are what differs."""
    order = _order(one, 1)
    if one.parts is None:
        return order[:count]
    _, first = np.unique(one.parts[order], return_index=True)
    return order[np.sort(first)][:count]


def _order(one: Judged, sign: int) -> NDArray[np.int64]:
    """Rows from the lowest score up, or with sign -1 from the highest down.

    Rows of one score stand by their energy, else in a seeded order: the order of the rows says nothing of them.
    """
    if one.logits is None:
        second = np.random.default_rng(0).random(len(one.scores))
    else:
        second = -np.logaddexp.reduce(one.logits.astype(np.float64), axis=1)
    return np.lexsort((sign * second, sign * one.scores))


def _tie(one: Judged, shown: Numbers) -> str:
    """That several of the inputs shown have one score, and how they were put in order."""
    by = "at random" if one.logits is None else "by the energy of their logits"
    return _several(one.scores, one.scores[shown], "score", by)


def _several(values: NDArray[Any], shown: NDArray[Any], what: str, by: str) -> str:
    """That several of the values shown are one, how many of all values are, and how they were put in order."""
    known, counts = np.unique(shown, return_counts=True)
    if not len(known) or counts.max() < 2:
        return ""
    at = known[counts.argmax()]
    return f" {np.sum(values == at):,} inputs tie at the {what} {at:.3g}; they are put in order {by}."


def _log_odds(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Of the largest probability, [n]: unlike the probability itself it does not saturate at 1."""
    ordered = np.sort(logits.astype(np.float64), axis=1)
    odds: NDArray[np.float64] = ordered[:, -1] - np.logaddexp.reduce(ordered[:, :-1], axis=1)
    return odds


def _inputs(one: Judged, rows: Numbers, classes: Sequence[str] | None) -> tuple[Input, ...]:
    shown = _shown(one, rows)
    about = (", ".join([*_said(one, int(row), classes), f"score {one.scores[row]:.3g}"]) for row in rows)
    return tuple(replace(item, about=text) for item, text in zip(shown, about, strict=True))


def _said(one: Judged, row: int, classes: Sequence[str] | None) -> Iterator[str]:
    """What the model takes an input for, and what it is."""
    said = None
    if one.logits is not None:
        probability = _softmax(one.logits[[row]])[0]
        said = int(probability.argmax())
        yield f"taken for {class_name(said, classes)} ({probability.max():.0%})"
    if one.parts is not None:
        yield str(one.parts[row]).replace("_", " ")
    elif one.labels is not None and not one.ood and one.labels[row] != said:
        yield f"is {class_name(int(one.labels[row]), classes)}"
    elif one.labels is not None and one.ood and len(np.unique(one.labels)) > 1:
        assert one.data is not None
        yield f"is {class_name(int(one.labels[row]), one.data.classes)}"


def class_name(number: int, classes: Sequence[str] | None) -> str:
    """The name of a class, or its number.

    Examples
    --------
    >>> class_name(1, ["cat", "dog"]), class_name(1, None)
    ('dog', 'class 1')
    """
    return classes[number] if classes is not None and 0 <= number < len(classes) else f"class {number}"


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def _shown(one: Judged, rows: Numbers) -> Iterator[Input]:
    for row in rows:
        number = int(one.rows[row])
        item = None if one.data is None else one.data.read(np.array([row]))[0]
        if item is None:
            yield Input(number, "")
        elif isinstance(item, np.ndarray) and item.ndim == 3:
            yield Input(number, "", picture=_uri(item))
        else:
            yield Input(number, "", text=_words(item))


def _words(item: Any) -> str:
    if isinstance(item, Mapping):
        item = ", ".join(f"{name} {_words(value)}" for name, value in item.items())
    if isinstance(item, np.ndarray) and item.ndim:
        flat = item.ravel()
        return ", ".join(f"{value:.3g}" for value in flat[:8]) + (", ..." if len(flat) > 8 else "")
    if not isinstance(item, (str, tuple, list)):
        return f"{item:.3g}" if isinstance(item, float) else str(item)
    text = item if isinstance(item, str) else " / ".join(map(str, item))
    return text if len(text) <= 240 else f"{text[:239]}…"


def _uri(picture: NDArray[Any]) -> str:
    """A PNG of at most ``SIDE`` pixels a side."""
    eight = picture if picture.dtype == np.uint8 else eight_bit(as_float(picture))
    image = Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def as_json(groups: Sequence[Group]) -> list[Mapping[str, Any]]:
    """The groups without their pictures.

    Examples
    --------
    >>> as_json([Group("hard", (Input(7, "class 3", text="It rains."),))])
    [{'title': 'hard', 'rows': [{'row': 7, 'about': 'class 3', 'text': 'It rains.'}]}]
    """
    return [
        {"title": group.title, "rows": [{"row": one.row, "about": one.about, "text": one.text} for one in group.inputs]}
        for group in groups
    ]

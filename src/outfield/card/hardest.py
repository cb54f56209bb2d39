"""The inputs that a model and its detector find hardest, small enough to be shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outfield.data.base import Dataset
from outfield.data.datasets import as_float, eight_bit
from outfield.studies.sets import Member

SIDE = 72
"""Longest edge of a shown picture in pixels."""


@dataclass(frozen=True)
class Input:
    """One input: its row, a line about it, and a picture (as a data URI) or a text."""

    row: int
    about: str
    picture: str = ""
    text: str = ""


@dataclass(frozen=True)
class Group:
    """Inputs that are hard in one way."""

    title: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """A data set with a detector's scores and the model's logits, row by row."""

    member: Member
    scores: NDArray[np.float64]
    logits: NDArray[np.float32]


def hardest(sets: Sequence[Judged], classes: Sequence[str] | None, count: int = 8) -> tuple[Group, ...]:
    """For each OOD set the inputs that look most like ID data; ID inputs that look foreign; the surest mistakes.

    Parameters
    ----------
    sets : the ID test set and the OOD sets
    classes : names of the model's classes, or None for their numbers
    """
    return tuple(group for one in sets for group in _groups(one, classes, count) if group.inputs)


def _groups(one: Judged, classes: Sequence[str] | None, count: int) -> Iterator[Group]:
    if one.member.role == "ood":
        yield Group(f"{one.member.name}: most like ID data", _inputs(one, np.argsort(one.scores)[:count], classes))
        return
    yield Group("ID inputs that look foreign", _inputs(one, np.argsort(-one.scores)[:count], classes))
    labels = np.asarray(one.member.data.labels)
    surety = np.where(one.logits.argmax(1) == labels, -1.0, _softmax(one.logits).max(1))
    wrong = [row for row in np.argsort(-surety)[:count] if surety[row] > 0]
    yield Group("ID inputs that are surely misjudged", _inputs(one, wrong, classes))


def _inputs(one: Judged, rows: Sequence[int] | NDArray[np.int64], classes: Sequence[str] | None) -> tuple[Input, ...]:
    probability = _softmax(one.logits[rows]) if len(rows) else np.zeros((0, 1))
    labels = one.member.data.labels if one.member.role != "ood" else None
    numbers = np.arange(len(one.scores)) if one.member.rows is None else one.member.rows
    found = []
    for row, p in zip(rows, probability, strict=True):
        said = f"{_class(int(p.argmax()), classes)} {p.max():.0%}"
        true = "" if labels is None or labels[row] == p.argmax() else f", is {_class(int(labels[row]), classes)}"
        found.append(_shown(one.member.data, int(row), int(numbers[row]), f"{said}{true}, score {one.scores[row]:.3g}"))
    return tuple(found)


def _class(number: int, classes: Sequence[str] | None) -> str:
    return classes[number] if classes is not None and number < len(classes) else f"class {number}"


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def _shown(data: Dataset, row: int, number: int, about: str) -> Input:
    item = data.read(np.array([row]))[0]
    if isinstance(item, np.ndarray) and item.ndim == 3:
        return Input(number, about, picture=_uri(item))
    return Input(number, about, text=_words(item))


def _words(item: Any) -> str:
    if isinstance(item, np.ndarray):
        return ", ".join(f"{value:.3g}" for value in item[:8]) + (", ..." if len(item) > 8 else "")
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
    """The groups without their pictures."""
    return [
        {"title": group.title, "rows": [{"row": one.row, "about": one.about, "text": one.text} for one in group.inputs]}
        for group in groups
    ]

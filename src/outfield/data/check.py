"""Is the data sound? Every item is read once: broken, duplicate, wrongly sized ones and empty classes are told.

What is no fault but may surprise (pictures that EXIF turns, palettes, files passed over) is told beside it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import CHUNK, Dataset, Source
from outfield.data.datasets import beside_of, left_out_of, looks, name_of
from outfield.data.faults import Look
from outfield.errors import UserError, listed

Kind = Literal["unreadable", "broken", "duplicate", "size", "labels"]
Shape = tuple[int, ...]
SHOWN = 5
"""Rows that a finding names; the others are counted."""
_LARGE = 10_000_000
"""Pixels beyond which a note advises to make pictures small."""
_KINDS = {"truncated": "truncated|states|ends too early", "too large": "is too large", "empty": "is empty"}
"""Kinds of broken pictures, and what their messages hold."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    kind : {"unreadable", "broken", "duplicate", "size", "labels"}
    sets : names of the data sets concerned
    count : number of rows concerned
    text : what is wrong, in a sentence
    examples : some of the rows, by file or number
    """

    kind: Kind
    sets: tuple[str, ...]
    count: int
    text: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        examples = "".join(f"\n    {example}" for example in self.examples)
        more = f"\n    and {self.count - len(self.examples)} more" if 0 < len(self.examples) < self.count else ""
        return f"{', '.join(self.sets)}: {self.text}{examples}{more}"


@dataclass
class Seen:
    """What was read of one data set.

    Attributes
    ----------
    rows : number of rows, broken ones included
    shapes : how many items have each shape; () for texts
    notes : what a user may not expect, and the rows that it holds for
    """

    name: str
    rows: int = 0
    classes: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)
    keys: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    broken: dict[int, str] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def usual(self) -> Shape | None:
        """The most frequent shape."""
        return self.shapes.most_common(1)[0][0] if self.shapes else None


@dataclass(frozen=True)
class Report:
    """What ``check`` read and found; ``str`` of it is what the command line prints.

    Attributes
    ----------
    findings : what is wrong
    notes : what is not, but may surprise, in sentences
    """

    seen: tuple[Seen, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        read = [f"  {one.name}: {one.rows} rows, {_shown(one.usual)}" for one in self.seen]
        found = [f"  {number}. {finding}" for number, finding in enumerate(self.findings, 1)]
        title = f"{len(found)} finding{'s' * (len(found) != 1)}:" if found else "Nothing is wrong."
        told = ["Worth knowing:", *(f"  {note}" for note in self.notes)] if self.notes else []
        return "\n".join(["Read every item of", *read, title, *found, *told])


def check(sets: Mapping[str, Dataset | Source]) -> Report:
    """Read every item of every data set once, and say what is wrong.

    Told are items that cannot be read, items that are equal in content (within a set, and between sets: trained on
    and tested on, ID and OOD), items of another size than most of their set or sets of another size than the first,
    and classes without rows. Contents are compared as read, so one decoding should serve all sets. Beside that the
    report notes pictures that an EXIF orientation turns, transparent ones, palettes, deep and float ones, several
    frames, grey among colour, and files that are passed over.

    Parameters
    ----------
    sets : mapping of a name to a data set, or to a source, which is loaded; the ID training data first

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> train = ArrayDataset(np.arange(32, dtype=np.uint8).reshape(2, 4, 4), labels=[0, 1])
    >>> test = ArrayDataset(np.arange(16, 48, dtype=np.uint8).reshape(2, 4, 4), labels=[0, 1])
    >>> print(check({"train": train, "test": test}))
    Read every item of
      train: 2 rows, 4 x 4 x 1
      test: 2 rows, 4 x 4 x 1
    1 finding:
      1. train, test: 1 row of test is in train too
        row 0 is row 1 of train
    """
    seen, findings, datasets = [], [], {}
    for name, given in sets.items():
        try:
            datasets[name] = given.load() if isinstance(given, Source) else given
        except UserError as error:
            findings.append(Finding("unreadable", (name,), 0, str(error)))
            continue
        seen.append(_read(name, datasets[name]))
    findings += [finding for one in seen for finding in _alone(one, datasets[one.name])]
    findings += _sizes_between(seen)
    findings += _shared(seen, datasets)
    notes = [note for one in seen for note in _noted(one, datasets[one.name])]
    return Report(tuple(seen), tuple(findings), tuple(notes))


def _read(name: str, dataset: Dataset) -> Seen:
    seen = Seen(name, rows=len(dataset), classes=len(dataset.classes or ()))
    for start in range(0, len(dataset), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(dataset)))
        for row, look in zip(rows.tolist(), _looks(dataset, rows), strict=True):
            if look.fault:
                seen.broken[row] = look.fault
                continue
            seen.shapes[look.shape] += 1
            seen.keys[look.key].append(row)
            for note in look.notes:
                seen.notes[note].append(row)
    return seen


def _looks(dataset: Dataset, rows: NDArray[np.int64]) -> list[Look]:
    """A look at each item; where a batch of a view cannot be read, it is read one by one."""
    try:
        return looks(dataset, rows)
    except UserError:
        return [_look(dataset, int(row)) for row in rows]


def _look(dataset: Dataset, row: int) -> Look:
    try:
        return looks(dataset, np.array([row]))[0]
    except UserError as error:
        return Look(fault=str(error).splitlines()[0])


def _noted(seen: Seen, dataset: Dataset) -> Iterator[str]:
    for note, rows in seen.notes.items():
        yield f"{seen.name}: {_rows(len(rows))} of {seen.rows} {note}; the first is {name_of(dataset, rows[0])}"
    if large := sum(count for shape, count in seen.shapes.items() if len(shape) == 3 and prod(shape[:2]) > _LARGE):
        yield (
            f"{seen.name}: {_rows(large)} of {seen.rows} with more than {_LARGE // 10**6} million pixels; "
            "`side` of the source makes them small when they are read"
        )
    channels = Counter({shape[2]: 0 for shape in seen.shapes if len(shape) == 3})
    for shape, count in seen.shapes.items():
        channels[shape[2] if len(shape) == 3 else 0] += count
    if channels[1] and channels[3]:
        yield (
            f"{seen.name}: {_rows(channels[1])} of {seen.rows} grey, {channels[3]} in colour; "
            "`channels` of the source makes them alike"
        )
    yield from (f"{seen.name}: {text}" for text in beside_of(dataset))


def _alone(seen: Seen, dataset: Dataset) -> Iterator[Finding]:
    """What is wrong with one set by itself."""
    if seen.broken:
        examples = [f"{name_of(dataset, row)}: {why}" for row, why in list(seen.broken.items())[:SHOWN]]
        text = f"{_rows(len(seen.broken))} of {seen.rows} cannot be read{_reasons(seen.broken.values())}"
        yield Finding("broken", (seen.name,), len(seen.broken), text, tuple(examples))
    for text in left_out_of(dataset):
        yield Finding("broken", (seen.name,), 1, f"left out: {text}")
    yield from _repeated(seen, dataset)
    yield from _sizes_within(seen)
    yield from _empty_classes(seen, dataset)


def _reasons(faults: Iterable[str]) -> str:
    """How many of the faults are of a kind that one can name."""
    faults = list(faults)
    counts = {kind: sum(bool(re.search(sign, fault)) for fault in faults) for kind, sign in _KINDS.items()}
    told = [f"{count} {kind}" for kind, count in counts.items() if count]
    return f" ({', '.join(told)})" if told else ""


def _repeated(seen: Seen, dataset: Dataset) -> Iterator[Finding]:
    groups = [rows for rows in seen.keys.values() if len(rows) > 1]
    if groups:
        count = sum(len(rows) - 1 for rows in groups)
        text = f"{_rows(count)} of {seen.rows} {'is' if count == 1 else 'are'} there before with equal content"
        examples = [_alike(rows, dataset) for rows in groups[:SHOWN]]
        yield Finding("duplicate", (seen.name,), count, text, tuple(examples))


def _alike(rows: list[int], dataset: Dataset) -> str:
    labels = None if dataset.labels is None else set(dataset.labels[rows].tolist())
    differ = " under different labels" if labels is not None and len(labels) > 1 else ""
    return f"{name_of(dataset, rows[1])} equals {name_of(dataset, rows[0])}{differ}"


def _sizes_within(seen: Seen) -> Iterator[Finding]:
    odd = {shape: count for shape, count in seen.shapes.items() if shape != seen.usual}
    if odd:
        count = sum(odd.values())
        shapes = ", ".join(_shown(shape) for shape in list(odd)[:SHOWN]) + (" ..." if len(odd) > SHOWN else "")
        text = f"{_rows(count)} of {seen.rows} {'is' if count == 1 else 'are'} {shapes}, most are {_shown(seen.usual)}"
        yield Finding("size", (seen.name,), count, text)


def _empty_classes(seen: Seen, dataset: Dataset) -> Iterator[Finding]:
    if dataset.labels is None or dataset.classes is None:
        return
    counts = np.bincount(dataset.labels[dataset.labels >= 0], minlength=seen.classes)
    empty = [dataset.classes[label] for label in np.flatnonzero(counts[: seen.classes] == 0)]
    if empty:
        shown = listed(empty)
        yield Finding(
            "labels", (seen.name,), len(empty), f"{len(empty)} of {seen.classes} classes have no row: {shown}"
        )
    if len(counts) > seen.classes or (dataset.labels < 0).any():
        beyond = int((dataset.labels >= seen.classes).sum() + (dataset.labels < 0).sum())
        yield Finding("labels", (seen.name,), beyond, f"{_rows(beyond)} with labels that are none of its classes")


def _sizes_between(seen: Sequence[Seen]) -> Iterator[Finding]:
    for other in seen[1:]:
        first = seen[0]
        if other.usual is not None and first.usual is not None and other.usual != first.usual:
            text = f"most of {other.name} are {_shown(other.usual)}, most of {first.name} are {_shown(first.usual)}"
            yield Finding("size", (first.name, other.name), other.rows, text)


def _shared(seen: Sequence[Seen], datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Contents that two sets have in common."""
    for place, first in enumerate(seen):
        for other in seen[place + 1 :]:
            common = [(other.keys[key][0], first.keys[key][0]) for key in other.keys if key in first.keys]
            count = sum(len(other.keys[key]) for key in other.keys if key in first.keys)
            if common:
                examples = [
                    f"{name_of(datasets[other.name], row)} is {name_of(datasets[first.name], twin)} of {first.name}"
                    for row, twin in common[:SHOWN]
                ]
                verb = "is" if count == 1 else "are"
                text = f"{_rows(count)} of {other.name} {verb} in {first.name} too"
                yield Finding("duplicate", (first.name, other.name), count, text, tuple(examples))


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _shown(shape: Shape | None) -> str:
    if shape is None:
        return "none readable"
    return " x ".join(map(str, shape)) if shape else "texts"

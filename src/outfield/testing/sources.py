"""What every source keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from outfield.data import datasets, views
from outfield.data.base import Dataset, Source
from outfield.data.in_memory import in_memory
from outfield.testing._expect import all_of, carries_tags, comes_back_from_json, expect, is_found_by_its_name


def check_source(source: Source) -> None:
    """The contract of a source, on the rows that this one loads: give one with a few rows.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.data.sources.digits import Digits
    >>> check_source(Digits(classes=(8, 9), part="test"))
    """
    all_of(CHECKS, source)


def fields(source: Source) -> None:
    """It is found by its name, comes back from JSON, and has a hash."""
    is_found_by_its_name("sources", source)
    comes_back_from_json("sources", source)
    carries_tags("sources", type(source))
    hash(source)


def rows_again(source: Source) -> None:
    """It loads the same rows again."""
    first, again = source.load(), source.load()
    expect(isinstance(first, Dataset), "a Dataset, with labels, classes, read and digest", type(first))
    expect(len(first) > 0, "at least one row", "none")
    expect(first.digest() == again.digest(), "the same content key again", "another")
    _same(first.read(slice(None)), again.read(slice(None)), "the same rows again")


def labels(source: Source) -> None:
    """Labels and classes fit the rows."""
    data = source.load()
    if data.labels is not None:
        found = f"{data.labels.dtype} {list(data.labels.shape)}"
        fits = data.labels.shape == (len(data),) and data.labels.dtype == np.int64
        expect(fits, f"labels int64 [{len(data)}]", found)
        known = data.classes is None or data.labels.max() < len(data.classes)
        expect(known, "labels below the number of classes", data.labels.max())


def targets_and_groups(source: Source) -> None:
    """Targets and groups fit the rows."""
    data = source.load()
    if (targets := datasets.targets_of(data)) is not None:
        expect(len(targets) == len(data), f"{len(data)} targets", len(targets))
        numbers = targets.dtype in (np.float32, np.float64) and np.isfinite(targets).all()
        expect(numbers, "finite targets as float32 or float64", targets.dtype)
    if (groups := datasets.groups_of(data)) is not None:
        fits = groups.shape == (len(data),) and groups.dtype == np.int64 and groups.min() >= 0
        expect(fits, f"groups int64 [{len(data)}] from 0", f"{groups.dtype} {list(groups.shape)}")
        names = datasets.group_names_of(data) or ()
        expect(groups.max() < len(names), f"groups below {len(names)}, one name each", groups.max())


def batch_and_order(source: Source) -> None:
    """A row is the same in any batch and order."""
    data = source.load()
    whole = data.read(slice(None))
    order = np.random.default_rng(0).permutation(len(data))
    _same(data.read(order), [whole[row] for row in order], "the same rows in another order")
    _same(data.read(slice(1, 3)), whole[1:3], "the same rows in a part")


def content_key(source: Source) -> None:
    """The content key rests on what is read."""
    data = source.load()
    keys = set(datasets.row_keys(data).tolist())
    expect(len(keys) >= 1, "a key for each row", "none")
    expect(in_memory(data).digest() == data.digest(), "the content key of the same rows in memory", "another")
    expect(isinstance(data.digest(), str) and data.digest(), "a content key in letters", repr(data.digest()))
    if isinstance(data, datasets.Rows):
        whole = views.subset(data, np.arange(len(data))).digest()
        expect(whole == data.digest(), f"the content key of its items and labels, {whole}", data.digest())
    if len(data) > 1:
        fewer = views.subset(data, np.arange(len(data) - 1)).digest()
        expect(fewer != data.digest(), "another content key for fewer rows", "the same")


CHECKS: tuple[Callable[[Source], None], ...] = (
    fields, rows_again, labels, targets_and_groups, batch_and_order, content_key
)  # fmt: skip


def _same(one: Any, other: Any, expected: str) -> None:
    equal = len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    expect(equal, expected, "others")

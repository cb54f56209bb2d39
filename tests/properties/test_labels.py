"""Attacks on labels: whatever a column holds and classes are called, every row keeps the class that it names."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from outfield.data import labels
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._rows import labelled
from outfield.data.user_data import aligned
from outfield.data.views import concatenated
from outfield.errors import UserError
from tests.properties.support import attacked

words = st.text(max_size=8)
cells = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), words, st.sampled_from(["", " ", "NA", "nan", "-1", "1.0"]),
    st.integers(-2, 12), st.integers(-2, 12).map(str), st.integers(-2, 12).map(float), st.binary(max_size=3),
    st.lists(st.integers(), max_size=2), st.integers(-2, 12).map(np.int8), st.floats(width=32).map(np.float32),
)  # fmt: skip
columns = st.one_of(
    st.lists(cells, min_size=1, max_size=12),
    st.lists(st.integers(-2, 12), min_size=1, max_size=12),
    st.lists(st.floats(-3, 3), min_size=1, max_size=12),
    st.lists(st.one_of(st.integers(0, 12).map(float), st.just(float("nan"))), min_size=1, max_size=12),
    st.lists(words, min_size=1, max_size=12),
)
shouted = st.sampled_from([str, str.upper, str.title, lambda text: f" {text} ", lambda text: text.replace(" ", "_")])
class_names = st.lists(
    st.text("abcdefg", min_size=1, max_size=3).flatmap(lambda a: st.sampled_from([a, f"{a} {a}", f"{a}{a}"])),
    min_size=1, max_size=6, unique_by=labels.folded,
)  # fmt: skip


def is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float | np.floating) and isnan(value))
        or (isinstance(value, str | bytes) and not value.strip())
    )


@attacked
@given(columns, st.sampled_from(["refuse", "leave out"]))
def test_the_number_of_every_row_names_its_value(values: list[Any], broken: str) -> None:
    try:
        found = labelled(values, None, broken, "a table")
    except UserError:
        return
    if found.numbers is None:
        assert all(is_missing(one) or labels.name(one) in {"-1", *labels.MISSING} for one in values)
        return
    assert found.classes is not None and len(set(found.classes)) == len(found.classes) and "" not in found.classes
    assert [found.classes[number] for number in found.numbers] == [labels.name(values[row]) for row in found.rows]
    assert not any(is_missing(values[row]) for row in found.rows)
    assert broken == "leave out" or len(found.rows) == len(values)
    assert len(found.left_out) == (len(found.rows) < len(values))
    numeric = [float(one) for one in found.classes if labels.is_number(one)]
    assert numeric == sorted(numeric)


@attacked
@given(columns, st.lists(st.integers(-2, 12), min_size=1, max_size=4, unique=True))
def test_chosen_values_take_their_rows_and_no_others(values: list[Any], chosen: list[int]) -> None:
    try:
        found = labelled(values, chosen, "refuse", "a table")
    except UserError:
        return
    assert found.numbers is not None
    for row, number in zip(found.rows, found.numbers, strict=True):
        assert labels.folded(str(labels.name(values[row]))) == str(chosen[number])
    exact = [row for row, one in enumerate(values) if labels.name(one) in map(str, chosen)]
    assert set(exact) <= set(found.rows.tolist())


@attacked
@given(class_names, st.data())
def test_permuted_and_respelt_names_never_change_accuracy(own: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(own))))
    model = [data.draw(shouted)(own[number]) for number in order]
    truth = data.draw(st.lists(st.integers(0, len(own) - 1), min_size=1, max_size=8))
    said = np.array([order.index(number) for number in truth])
    right = data.draw(st.lists(st.booleans(), min_size=len(truth), max_size=len(truth)))
    predicted = np.where(right, said, (said + 1) % max(2, len(own)))
    rows = ArrayDataset(np.zeros((len(truth), 1)), truth, own)
    found = aligned({"test": rows}, model).parts["test"].labels
    assert found is not None and (predicted == found).tolist() == right


@attacked
@given(st.lists(words, min_size=1, max_size=5), st.lists(words, min_size=1, max_size=5), st.data())
def test_two_sets_of_names_meet_by_name_or_are_refused(own: list[str], known: list[str], data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(-1, len(own) - 1), min_size=1, max_size=6))
    rows = ArrayDataset(np.zeros((len(numbers), 1)), numbers, own)
    if labels.numbers_only(known):
        return
    try:
        found = aligned({"test": rows}, known).parts["test"].labels
    except UserError:
        return
    assert found is not None
    for number, place in zip(numbers, found, strict=True):
        same = number == place == -1 or labels.folded(own[number]) == labels.folded(known[place])
        assert same or (tuple(own) == tuple(known) and number == place)


@attacked
@given(class_names, class_names, st.data())
def test_pooled_rows_keep_their_class(one: list[str], other: list[str], data: st.DataObject) -> None:
    parts = {}
    for key, names in (("one", one), ("other", other)):
        drawn = data.draw(st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=5))
        parts[key] = ArrayDataset(np.zeros((len(drawn), 1)), drawn, names)
    both = concatenated(parts)
    wanted = [(part.classes or ())[number] for part in parts.values() for number in part.labels]
    assert both.classes is not None and [both.classes[number] for number in both.labels] == wanted

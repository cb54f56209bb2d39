"""Data sets and their views: rows, labels, parts, content keys, faults."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outfield import keys, registry
from outfield.data import datasets, sampling, views
from outfield.data.adapters import ColumnedDataset
from outfield.data.base import Dataset
from outfield.data.datasets import ArrayDataset, ListDataset
from outfield.data.in_memory import Kept, in_memory
from outfield.data.pictures import as_float
from outfield.errors import UserError


def pictures(n: int = 12, classes: int = 3, seed: int = 0) -> ArrayDataset:
    rng = np.random.default_rng(seed)
    return ArrayDataset(rng.integers(0, 256, (n, 4, 4, 1), dtype=np.uint8), labels=np.arange(n) % classes)


def test_every_view_is_a_dataset() -> None:
    data = pictures()
    made = [
        data,
        views.subset(data, [0]),
        views.relabelled(data, None),
        views.shifted(data, registry.create("shifts", "blur"), 1),
        views.concatenated({"a": data}),
    ]
    assert all(isinstance(view, Dataset) for view in made)


def test_rows_come_in_the_order_asked_for() -> None:
    data = pictures()
    rows = np.array([5, 0, 5])
    assert np.array_equal(data.read(rows), data.items[rows])
    assert np.array_equal(views.subset(data, rows).read(slice(1, None)), data.items[[0, 5]])
    mask = np.arange(12) > 9
    assert np.array_equal(views.subset(data, mask).read(slice(None)), data.items[10:])


def test_content_keys_rest_on_content_alone() -> None:
    data = pictures()
    halves = {"first": views.subset(data, np.arange(6)), "second": views.subset(data, np.arange(6, 12))}
    assert views.concatenated(halves).digest() == data.digest() == pictures().digest()
    assert in_memory(views.subset(data, [3, 1])).digest() == views.subset(data, [3, 1]).digest()
    assert ArrayDataset(data.items[[3, 1]], data.labels[[3, 1]]).digest() == views.subset(data, [3, 1]).digest()


def test_content_keys_notice_a_pixel_a_label_and_the_order() -> None:
    data = pictures()
    changed = data.items.copy()
    changed[3, 0, 0, 0] ^= 1
    others = [
        ArrayDataset(changed, data.labels),
        views.relabelled(data, np.zeros(12, int)),
        views.relabelled(data, None),
        views.subset(data, np.arange(12)[::-1]),
        ArrayDataset(as_float(data.items), data.labels),
    ]
    assert len({data.digest(), *(other.digest() for other in others)}) == 6


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_a_split_deals_every_row_once(labels: list[int], seed: int) -> None:
    data = ArrayDataset(np.arange(len(labels), dtype=float)[:, None], labels)
    try:
        parts = sampling.split(data, {"fit": 0.5, "val": 0.2, "test": 0.3}, seed)
    except UserError as error:
        assert "at least one row" in str(error)  # noqa: PT017 - small data may leave a part empty, and then says so
        return
    rows = np.concatenate([part.read(slice(None)).ravel() for part in parts.values()])
    assert sorted(rows) == list(range(len(labels)))


def test_a_split_cuts_every_class_alike_and_by_its_seed() -> None:
    data = pictures(120, 3)
    fit = sampling.split(data, {"fit": 0.75, "test": 0.25}, seed=1)["fit"]
    assert np.bincount(fit.labels).tolist() == [30, 30, 30]
    assert fit.digest() == sampling.split(data, {"fit": 0.75, "test": 0.25}, seed=1)["fit"].digest()
    assert fit.digest() != sampling.split(data, {"fit": 0.75, "test": 0.25}, seed=2)["fit"].digest()


def test_a_sample_keeps_the_classes_in_proportion() -> None:
    data = ArrayDataset(np.zeros((300, 2)), labels=np.repeat([0, 1], [200, 100]))
    drawn = sampling.sample(data, 30)
    assert np.bincount(drawn.labels).tolist() == [20, 10]
    assert sampling.sample(data, 300) is data
    assert len(sampling.sample(views.relabelled(data, None), 7)) == 7


def test_parts_follow_the_rows() -> None:
    both = views.concatenated({"a": pictures(3), "b": pictures(2, seed=1)})
    assert datasets.parts_of(views.subset(both, [4, 0])).tolist() == ["b", "a"]
    assert in_memory(both).parts.tolist() == ["a", "a", "a", "b", "b"]
    assert datasets.parts_of(pictures()) is None


def patients(n: int = 4, names: tuple[str, ...] = ("north", "south"), **other: object) -> ArrayDataset:
    about = {"targets": np.arange(n) + 0.5, "groups": np.arange(n) % 2, "group_names": names}
    return ArrayDataset(np.arange(2.0 * n).reshape(n, 2), **{**about, **other})


VIEWS: dict[str, Callable[[Dataset], Dataset]] = {
    "subset": lambda data: views.subset(data, [3, 0, 1]),
    "sample": lambda data: sampling.sample(data, 3),
    "relabelled": lambda data: views.relabelled(data, [0, 0, 1, 1], ["ill", "well"]),
    "shifted": lambda data: views.shifted(data, registry.create("shifts", "blur"), 1),
    "concatenated": lambda data: views.concatenated({"a": data, "b": views.subset(data, [2])}),
    "in memory": in_memory,
    "kept": Kept,
    "with columns": lambda data: ColumnedDataset(data, ["age", "weight"]),
    "pickled": lambda data: pickle.loads(pickle.dumps(Kept(data))),
}


@pytest.mark.parametrize("view", VIEWS)
def test_targets_and_groups_follow_the_rows(view: str) -> None:
    of = patients(targets=np.arange(8.0).reshape(4, 2))
    data = VIEWS[view](of)
    rows = {"subset": [3, 0, 1], "concatenated": [0, 1, 2, 3, 2]}.get(view, list(range(len(data))))
    if view == "sample":
        rows = sampling.sampled_rows(of, 3).tolist()
    assert len(rows) == len(data)
    assert np.array_equal(datasets.targets_of(data), datasets.targets_of(of)[rows])
    assert np.array_equal(datasets.groups_of(data), datasets.groups_of(of)[rows])
    assert datasets.group_names_of(data) == ("north", "south")


def test_data_without_targets_and_groups_have_none() -> None:
    for data in (
        pictures(),
        views.subset(pictures(), [0]),
        views.concatenated({"a": pictures(), "b": patients()}),
    ):
        assert datasets.targets_of(data) is None and datasets.groups_of(data) is None
        assert datasets.group_names_of(data) is None


def test_groups_of_several_data_sets_are_numbered_by_name() -> None:
    both = views.concatenated({"a": patients(2), "b": patients(2, ("south", "west"), groups=[0, 1])})
    assert datasets.groups_of(both).tolist() == [0, 1, 1, 2]
    assert datasets.group_names_of(both) == ("north", "south", "west")
    unnamed = views.concatenated({"a": patients(2), "b": patients(1, groups=[5], group_names=None)})
    assert datasets.groups_of(unnamed).tolist() == [0, 1, 5] and datasets.group_names_of(unnamed) is None


def test_content_keys_notice_a_target_and_are_what_they_were_without() -> None:
    items = np.eye(2, dtype=np.float32)
    alone = ArrayDataset(items, [0, 1])
    assert alone.digest() == keys.key(items=keys.of_array(alone.row_keys), labels=keys.of_array(alone.labels))
    kinds = [alone, *(ArrayDataset(items, [0, 1], targets=targets) for targets in ([0.0, 1.0], [0.0, 1.5]))]
    assert len({one.digest() for one in kinds}) == 3
    assert all(np.array_equal(one.row_keys, alone.row_keys) for one in kinds)
    assert views.subset(kinds[1], [0, 1]).digest() == kinds[1].digest() == in_memory(kinds[1]).digest()


def test_targets_keep_float32_and_become_float64_otherwise() -> None:
    kinds = {"float32": np.float32([1, 2]), "float64": [1, 2]}
    assert {kind: patients(2, targets=given).targets.dtype.name for kind, given in kinds.items()} == {
        kind: kind for kind in kinds
    }


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"targets": [1.0, np.nan]}, "finite numbers, but 1 of 2 are not, the first nan in row 1"),
        ({"targets": [[1.0, 2.0], [np.inf, 0.0]]}, r"1 of 2 are not, the first \[inf  0.\] in row 1"),
        ({"targets": [1.0]}, r"\[2\] or \[2, k\], one row of numbers for each row, but got \[1\]"),
        ({"targets": np.zeros((2, 0))}, r"but got \[2, 0\]"),
        ({"targets": ["a", "b"]}, "Classes belong into `labels`"),
        ({"groups": [0]}, r"2 whole numbers of groups.*int64 of shape \[1\]"),
        ({"groups": [0.0, 1.0]}, "but got float64"),
        ({"groups": [0, 2]}, "from 0 to 1, as there are 2 names, but row 1 has 2"),
        ({"groups": [-1, 0], "group_names": None}, "from 0 on, but row 0 has -1"),
    ],
)
def test_faults_of_targets_and_groups(other: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        patients(2, **other)


def test_targets_of_several_kinds_are_not_put_together() -> None:
    with pytest.raises(UserError, match=r"as many numbers in every data set, but got a \[2\], b \[2, 2\]"):
        views.concatenated({"a": patients(2), "b": patients(2, targets=np.eye(2))})


def test_concatenation_reads_across_the_seam_and_keeps_labels_that_all_have() -> None:
    a, b = pictures(5), pictures(7, seed=1)
    both = views.concatenated({"a": a, "b": b})
    rows = np.array([11, 2, 5, 4])
    assert np.array_equal(both.read(rows), np.concatenate([a.items, b.items])[rows])
    assert np.array_equal(both.labels, np.concatenate([a.labels, b.labels]))
    assert views.concatenated({"a": a, "b": views.relabelled(b, None)}).labels is None


def test_pictures_of_several_sizes_are_a_list() -> None:
    data = ListDataset([np.zeros((2, 2, 1), np.uint8), np.zeros((3, 3, 1), np.uint8)])
    assert [item.shape for item in data.read(slice(None))] == [(2, 2, 1), (3, 3, 1)]
    assert isinstance(in_memory(data), ListDataset)


def test_texts_and_pairs_have_keys_of_their_own() -> None:
    texts = [["a", "bc"], ["ab", "c"], [("a", "bc"), "x"], [("ab", "c"), "x"]]
    assert len({ListDataset(items).digest() for items in texts}) == 4


def test_a_foreign_dataset_serves_every_view() -> None:
    class Foreign:
        labels = np.array([0, 1])
        classes = None

        def __len__(self) -> int:
            return 2

        def read(self, rows: object) -> np.ndarray:
            return np.eye(2, dtype=np.float32)[rows]

        def digest(self) -> str:
            return "own"

    own = ArrayDataset(np.eye(2, dtype=np.float32), [0, 1])
    assert views.subset(Foreign(), [0, 1]).digest() == own.digest()


@pytest.mark.parametrize(
    ("items", "labels", "message"),
    [
        (np.zeros((0, 4, 4), np.uint8), None, "at least one row"),
        (np.zeros((3, 4, 4), np.uint8), [0, 1], r"3 labels, one for each row, but got shape \(2,\)"),
        (np.zeros((2, 4, 4), np.uint8), [0.5, np.nan], "whole numbers, but 2 of 2 are not, the first 0.5 in row 0"),
        (np.zeros((2, 4, 4), np.uint8), ["0", "1"], "labels that are integers"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), None, "row 1 has NaN"),
        (np.full((1, 4, 4), 200.0), None, r"pictures in \[0, 1\].*Divide by 255"),
        (np.zeros((1, 4, 4), np.int64), None, "uint8 or float"),
        (np.zeros((2, 3, 4, 4), np.uint8), None, "Move the channels last"),
        (np.zeros((2, 4, 4, 2), np.uint8), None, "1 or 3 channels"),
        (np.zeros(3), None, r"or rows \[n, D\]"),
        (np.array([["a"]]), None, "array of numbers"),
    ],
)
def test_faults_of_arrays(items: np.ndarray, labels: list[int] | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ArrayDataset(items, labels)


def test_faults_of_views() -> None:
    data = pictures()
    with pytest.raises(UserError, match="at least one row"):
        views.subset(data, [])
    with pytest.raises(UserError, match=r"no row of \[7\]"):
        views.of_classes(data, [0, 7])
    with pytest.raises(UserError, match="has none"):
        views.of_classes(views.relabelled(data, None), [0])
    with pytest.raises(UserError, match="add up to 1"):
        sampling.split(data, {"a": 0.5, "b": 0.6})
    with pytest.raises(UserError, match="0 <= start < stop <= 1"):
        sampling.between(data, 0.5, 0.5)
    with pytest.raises(UserError, match="part name for each of 2 rows"):
        ArrayDataset(np.eye(2), parts=["a"])
    with pytest.raises(UserError, match="at least one row"):
        views.concatenated({})

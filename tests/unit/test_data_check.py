"""``check`` tells what was planted, and nothing where nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from outfield import registry
from outfield.data import views
from outfield.data.check import check
from outfield.data.datasets import ArrayDataset, ListDataset
from outfield.data.sources.arrays import Arrays
from outfield.data.sources.folder import Folder


def pictures(n: int, seed: int, side: int = 4) -> ArrayDataset:
    values = np.random.default_rng(seed).integers(0, 256, (n, side, side, 1), dtype=np.uint8)
    return ArrayDataset(values, labels=np.arange(n) % 2, classes=["cat", "dog"])


def kinds(report: object) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_nothing_is_wrong() -> None:
    report = check({"train": pictures(20, 0), "test": pictures(10, 1), "ood": pictures(10, 2)})
    assert report.sound and "Nothing is wrong." in str(report) and "train: 20 rows, 4 x 4 x 1" in str(report)


def test_duplicates_within_a_set_and_between_sets() -> None:
    train, ood = pictures(20, 0), pictures(10, 2)
    train.items[7] = train.items[3]
    train.items[8] = train.items[3]
    ood.items[4] = train.items[0]
    report = check({"train": train, "ood": views.relabelled(ood, None)})
    within, between = report.findings
    assert (within.kind, within.sets, within.count) == ("duplicate", ("train",), 2)
    assert (
        within.examples == ("row 7 equals row 3 under different labels",) or "row 7 equals row 3" in within.examples[0]
    )
    assert (between.kind, between.sets, between.count) == ("duplicate", ("train", "ood"), 1)
    assert between.examples == ("row 4 is row 0 of train",)


def test_the_same_picture_in_a_file_and_in_an_array(tmp_path: Path) -> None:
    data = pictures(6, 0)
    for i, picture in enumerate(data.items):
        Image.fromarray(picture.squeeze()).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "all.npy", data.items[:2])
    report = check({"files": Folder(str(tmp_path)), "arrays": Arrays(str(tmp_path / "all.npy"))})
    assert [finding.count for finding in report.findings] == [2]


def test_broken_pictures_are_named_through_views(tmp_path: Path) -> None:
    for i in range(40):
        Image.fromarray(np.full((5, 5), i, np.uint8)).save(tmp_path / f"{i:02}.png")
    for i in (4, 9):
        (tmp_path / f"{i:02}.png").write_text("no picture")
    data = Folder(str(tmp_path)).load()
    made = {
        "all": data,
        "some": views.subset(data, [4, 5]),
        "both": views.concatenated({"a": data}),
        "blurred": views.shifted(data, registry.create("shifts", "blur"), 1),
    }
    for name, view in made.items():
        broken = [finding for finding in check({name: view}).findings if finding.kind == "broken"]
        assert [finding.count for finding in broken] == [1 if name == "some" else 2]
        assert "04.png: is no picture" in broken[0].examples[0] or "04.png" in broken[0].examples[0]
    left_out = check({"all": Folder(str(tmp_path), broken="leave out")})
    assert ["left out" in finding.text for finding in left_out.findings] == [True, True]


def test_sizes_within_and_between_sets() -> None:
    mixed = ListDataset([np.zeros((4, 4, 1), np.uint8), np.ones((4, 4, 1), np.uint8), np.zeros((4, 4, 3), np.uint8)])
    within, between = check({"large": pictures(4, 0, side=8), "mixed": mixed}).findings
    assert within.kind == between.kind == "size"
    assert within.text == "1 row of 3 is 4 x 4 x 3, most are 4 x 4 x 1"
    assert between.text == "most of mixed are 4 x 4 x 1, most of large are 8 x 8 x 1"


def test_classes_without_rows_and_labels_beyond_them() -> None:
    data = pictures(4, 0)
    empty = check({"train": views.relabelled(data, [0, 0, 0, 0], ["cat", "dog"])})
    assert [finding.text for finding in empty.findings] == ["1 of 2 classes have no row: dog"]
    beyond = check({"train": views.relabelled(data, [0, 1, 2, -1], ["cat", "dog"])})
    assert [(finding.kind, finding.count) for finding in beyond.findings] == [("labels", 2)]


def test_a_source_that_cannot_be_loaded_is_a_finding(tmp_path: Path) -> None:
    report = check({"train": pictures(4, 0), "gone": Folder(str(tmp_path / "gone"))})
    assert kinds(report) == ["unreadable"] and "gone" in str(report)


def test_texts() -> None:
    report = check({"train": ListDataset(["a", "b", "a"]), "test": ListDataset(["c", "b"])})
    assert kinds(report) == ["duplicate", "duplicate"] and "train: 3 rows, texts" in str(report)


def test_long_lists_are_cut() -> None:
    report = check({"train": ArrayDataset(np.zeros((50, 2, 2), np.uint8))})
    assert report.findings[0].count == 49
    many = check({"a": pictures(30, 0), "b": pictures(30, 0)})
    assert len(many.findings[0].examples) == 5 and "and 25 more" in str(many)


@pytest.mark.parametrize("severity", [1, 5])
def test_a_shifted_set_is_no_duplicate_of_its_original(severity: int) -> None:
    data = pictures(20, 0)
    moved = views.shifted(data, registry.create("shifts", "gaussian_noise"), severity)
    assert check({"test": data, "noise": moved}).sound

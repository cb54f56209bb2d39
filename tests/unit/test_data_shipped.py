"""The sets that installed packages ship: counts, parts that share nothing, faults."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from outfield.data import datasets
from outfield.data.sources import _package_files
from outfield.data.sources.diabetes import COLUMNS, Diabetes
from outfield.data.sources.digits import Digits
from outfield.data.sources.glyphs import Glyphs
from outfield.data.sources.part import Part
from outfield.data.sources.photos import Photos
from outfield.data.sources.terrain import Terrain
from outfield.errors import UserError


def test_digits_are_scikit_learns() -> None:
    bunch = load_digits()
    data = Digits(side=8).load()
    assert np.array_equal(data.labels, bunch.target)
    pictures = np.asarray(data.read(slice(None)))[..., 0]
    assert np.array_equal(pictures, np.rint(bunch.images * 255 / 16).astype(np.uint8))


def test_the_parts_of_the_digits_share_out_every_scan() -> None:
    classes = tuple(range(8))
    parts = [Digits(classes, part).load() for part in ("fit", "val", "test")]
    keys = np.concatenate([datasets.row_keys(part) for part in parts])
    assert sorted(keys) == sorted(datasets.row_keys(Digits(classes).load()))
    assert [len(part) for part in parts] == pytest.approx([1443 / 2, 1443 / 4, 1443 / 4], abs=4)
    for part in parts:
        assert np.bincount(part.labels, minlength=8) == pytest.approx(len(part) / 8, abs=3)


def test_diabetes_is_scikit_learns() -> None:
    bunch = load_diabetes(scaled=False)
    data = Diabetes().load()
    assert np.array_equal(datasets.targets_of(data), bunch.target) and data.labels is None
    assert (
        np.array_equal(data.read(slice(None)), bunch.data.astype(np.float32)) and list(COLUMNS) == bunch.feature_names
    )


def test_the_parts_of_diabetes_share_out_every_patient_of_their_ages() -> None:
    parts = [Diabetes(part, (0, 60)).load() for part in ("fit", "val", "test")]
    years = [part.read(slice(None))[:, 0] for part in parts]
    older = Diabetes(ages=(60, 120)).load()
    assert sum(map(len, parts)) + len(older) == 442 and [len(part) for part in parts] == [170, 84, 85]
    assert max(some.max() for some in years) < 60 <= older.read(slice(None))[:, 0].min()
    found = np.concatenate([datasets.row_keys(part) for part in [*parts, older]])
    assert sorted(found) == sorted(datasets.row_keys(Diabetes().load()))
    assert Diabetes("fit", seed=1).load().digest() != Diabetes("fit").load().digest()


def test_held_out_digits_are_numbered_anew() -> None:
    held_out = Digits((9, 8)).load()
    assert held_out.classes == ("9", "8") and np.bincount(held_out.labels).tolist() == [180, 174]


def test_halves_of_a_photograph_share_no_pixel() -> None:
    whole = np.asarray(Photos("flower", n=4, channels=3, region="whole").load().read(slice(None)))
    left, right = (Photos("flower", n=50, channels=3, region=region, seed=3).load() for region in ("left", "right"))
    assert whole.shape == (4, 16, 16, 3)
    assert not set(datasets.row_keys(left)) & set(datasets.row_keys(right))


def test_detail_makes_a_set_as_coarse_as_the_digits() -> None:
    fine, coarse = (np.asarray(Photos("china", detail=d).load().read(slice(None)), float) for d in (None, 8))
    sharpness = [np.abs(np.diff(values, n=2, axis=1)).mean() for values in (fine, coarse)]
    assert sharpness[1] < 0.5 * sharpness[0]


def test_glyphs_fill_the_range_and_leave_no_picture_empty() -> None:
    for kind in ("letters", "scripts", "symbols", "digits"):
        pictures = np.asarray(Glyphs(kind, n=200, detail=8).load().read(slice(None)))
        assert pictures.max(axis=(1, 2, 3)).min() > 150 and (np.median(pictures, axis=(1, 2, 3)) < 100).mean() > 0.9


def test_printed_digits_carry_the_labels_of_handwritten_ones() -> None:
    printed = Glyphs("digits", n=100, classes=tuple(range(8))).load()
    assert printed.classes == Digits(tuple(range(8))).load().classes and set(printed.labels) == set(range(8))


def test_terrain_is_stretched_and_may_have_three_channels() -> None:
    relief = np.asarray(Terrain(n=20, channels=3).load().read(slice(None)))
    assert relief.shape == (20, 16, 16, 3) and np.ptp(relief, axis=3).max() == 0
    assert (relief.min(axis=(1, 2, 3)) == 0).all() and (relief.max(axis=(1, 2, 3)) == 255).all()


def test_parts_of_a_source_share_nothing_and_keep_the_classes() -> None:
    first, second = Part(Digits(), stop=0.4).load(), Part(Digits(), start=0.4).load()
    assert len(first) + len(second) == 1797
    drawn = Part(Digits(), classes=(1, 3), limit=50).load()
    assert len(drawn) == 50 and np.bincount(drawn.labels).tolist() == [25, 25]


def test_faults() -> None:
    for source, message in (
        (Digits(part="train"), "a part among fit, val, test, all"),
        (Digits(classes=(8, 12)), r"no row of \[12\]"),
        (Diabetes(part="train"), "a part among fit, val, test, all"),
        (Diabetes(ages=(80, 90)), "patients with 80 <= age < 90, but they are 19 to 79 years old"),
        (Photos("cat"), "photo china or flower"),
        (Photos("china", edges=(40, 900)), "edges between 1 and 427"),
        (Photos("china", n=0), "n >= 1"),
        (Glyphs("runes"), "a kind among letters"),
        (Glyphs(n=0), "n >= 1"),
    ):
        with pytest.raises(UserError, match=message):
            source.load()
    with pytest.raises(UserError, match="'sklearn', but it is not there"):
        _package_files.shipped("sklearn", "nothing.csv")
    with pytest.raises(UserError, match="a source to take a part of"):
        Part("digits")

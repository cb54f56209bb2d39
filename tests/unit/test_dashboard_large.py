"""A study with many rows: displays read those that they need, and show the same numbers."""

from __future__ import annotations

import pytest
from polars.testing import assert_frame_equal

from outfield.dashboard import displays
from outfield.dashboard.selection import ID_SET, Selection
from outfield.dashboard.studies import SELECTED, Study
from outfield.testing import simulated

SELECTIONS = {
    "all": Selection(),
    "a detector": Selection(detector="knn"),
    "a set": Selection(set="letters"),
    "the ID set": Selection(set=ID_SET),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rows = simulated.rows(seeds=2, detectors=("msp", "energy", "mds", "knn"), shifts=("blur",))
    return simulated.folder(tmp_path_factory.mktemp("study"), rows)


@pytest.fixture(scope="module")
def small(folder, tmp_path_factory):
    return Study("small", folder, tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def large(folder, tmp_path_factory):
    return Study("large", folder, tmp_path_factory.mktemp("index"))


def test_the_rows_of_a_large_study_are_the_needed_ones_alone(small, large, monkeypatch):
    whole = displays.results(small, Selection()).rows
    monkeypatch.setattr(displays, "MANY", 0)
    kept = displays.results(large, Selection()).rows
    assert 0 < kept.height < whole.height
    assert kept["part"].null_count() == kept.height and kept["run"].null_count() == kept.height


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_displays_of_a_large_study_show_the_same(small, large, selection, monkeypatch):
    names = [name for builds in displays.sections(small).values() for name in builds]
    assert set(displays.OWN) <= set(names) and set(displays.APART) <= set(names)
    expected = {name: displays.table(small, name, selection) for name in names}
    monkeypatch.setattr(displays, "MANY", 0)
    for name in names:
        found = displays.table(large, name, selection)
        assert found.columns == expected[name].columns, name
        assert_frame_equal(found, expected[name], check_row_order=False, abs_tol=1e-12)
    assert not expected["four-aurocs"].is_empty() and not expected["synthetic-parts"].is_empty()


def test_a_selection_in_sql_is_that_of_the_frame(small):
    rows = displays.results(small, Selection()).rows
    model = rows["model"][0]
    for chosen in (*SELECTIONS.values(), Selection(model=model), Selection(model, "msp", "letters")):
        where, values = chosen.belonging()
        found = small.index.ask(f"SELECT count(*) FROM rows WHERE {where}", values).item()
        assert found == chosen.of(rows).height


def test_few_selections_keep_their_rows(small):
    models = displays.results(small, Selection()).models["model"].to_list()
    for model in models[: SELECTED + 3]:
        displays.results(small, Selection(model=model))
    assert len(small.selected._made) == SELECTED


def test_of_one_set_no_detector_is_chosen_blind(small):
    assert displays.table(small, "best-per-strategy", Selection())["blind"].null_count() == 0
    table = displays.table(small, "best-per-strategy", Selection(set="letters"))
    assert table.height and table["blind"].null_count() == table.height

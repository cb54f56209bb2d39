"""Each setting of a detector has a name wherever rows and scores are read; inputs that are shown were measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from outfield.card.card import Card
from outfield.dashboard.app import create_app
from outfield.dashboard.origins import Missing, Origin
from outfield.dashboard.sample import Viewer
from outfield.dashboard.scores import scores, settings
from outfield.dashboard.studies import Shelf
from outfield.features.cache import Cache
from outfield.reports.comparison import compare
from outfield.reports.results import Results
from outfield.store import query, write
from outfield.store.index import Index
from outfield.store.scores import histograms, jobs
from outfield.store.settings import told_apart
from tests.support import digits, restate, run_small

TWO = ("knn k=1", "knn k=20")
CELL = {"role": "test", "metric": "auroc", "set_kind": "ood", "ood": "far"}


def rows(*cells: tuple[str, str, str | None], **more: Any) -> pl.DataFrame:
    """Model, detector and parameters of each row, its value the row's number."""
    return pl.DataFrame(
        [CELL | dict(zip(("model", "detector", "params"), cell, strict=True)) | {"value": i / 10} | more
         for i, cell in enumerate(cells)]
    )  # fmt: skip


def named(*cells: tuple[str, str, str | None]) -> list[str]:
    return told_apart(rows(*cells))["detector"].to_list()


def test_the_parameters_that_differ_are_named() -> None:
    first, second = '{"k":1,"scale":"log","sizes":[1,2]}', '{"k":1,"scale":"none","sizes":[3]}'
    assert named(("a", "d", first), ("a", "d", second), ("a", "msp", "{}")) == [
        "d scale=log, sizes=[1, 2]", "d scale=none, sizes=[3]", "msp",
    ]  # fmt: skip
    assert named(("a", "d", "fast"), ("a", "d", "slow")) == ["d fast", "d slow"]
    assert named(("a", "d", '{"k":1}'), ("a", "d", "{}")) == ["d k=1", "d k=null"]


def test_one_setting_a_model_is_one_detector() -> None:
    """Tuning sets a parameter for each model, and clips it."""
    assert named(("a", "knn", '{"k":1}'), ("b", "knn", '{"k":20}'), ("b", "knn", None)) == ["knn"] * 3
    curve = rows(("a", "knn", '{"k":1}')).vstack(rows(("a", "knn", '{"k":5}'), role="curve"))
    assert told_apart(curve)["detector"].to_list() == ["knn", "knn"]


def test_results_do_not_average_settings() -> None:
    found = Results.of(rows(("a", "knn", '{"k":1}'), ("a", "knn", '{"k":20}')))
    assert found.detectors == ("knn k=20", "knn k=1")
    assert set(found.information.values()) == {"features"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    detectors = [{"name": "knn", "k": 20}, {"name": "knn", "k": 1}, "msp", "energy"]
    return run_small(folder, detectors=detectors).check().folder


def viewer(folder: Path, place: Path, ood: str = "digit 8") -> Viewer:
    served = Shelf(folder, place / "index").study(folder.name)
    return Viewer(served, Origin(served, Cache(folder.parent / "cache")), "baseline-0", ood, 0)


def k_of(folder: Path, job: str) -> int:
    params = pl.read_parquet(folder / "rows" / f"{job}.parquet")["params"][0]
    return int(json.loads(params)["k"])


def test_the_names_lead_to_the_scores_of_the_setting(study: Path, tmp_path: Path) -> None:
    served = viewer(study, tmp_path).study
    kept, made = jobs(study, "baseline-0"), settings(served, "baseline-0")
    assert set(kept) == set(made) == {*TWO, "msp", "energy"}
    for name, k in zip(TWO, (1, 20), strict=True):
        assert k_of(study, kept[name]) == k_of(study, made[name].job) == json.loads(made[name].params)["k"] == k
        assert made[name].method == "knn"
    assert set(TWO) < set(scores(served, "baseline-0").detectors)
    assert set(TWO) < set(histograms(study, "baseline-0")["detector"])
    assert set(TWO) < set(Card.of_study(study, "baseline-0").choice.table["detector"])


def test_two_models_are_compared_setting_by_setting(study: Path) -> None:
    found = compare(study, model="baseline-0", versus="label_noise-0")
    assert set(found.by("detector")["name"]) == set(found.pairs["detector"].drop_nulls()) == {*TWO, "msp", "energy"}
    cells = found.inputs.cells.sort("detector", "ood")
    stored = found.of("auroc", "ood").sort("detector", "ood")
    assert cells["difference"].to_list() == pytest.approx(stored["difference"].to_list(), abs=1e-4)


def test_a_setting_can_be_selected_in_the_dashboard(study: Path, tmp_path: Path) -> None:
    page = TestClient(create_app(study, place=tmp_path / "index"), base_url="http://127.0.0.1")
    start = f"/api/studies/{study.name}"
    assert set(TWO) < {one["name"] for one in page.get(start).json()["detectors"]}
    for name in TWO:
        for path in ("rows", "samples", "displays/cost"):
            assert page.get(f"{start}/{path}", params={"detector": name}).status_code == 200, (name, path)
        assert page.get(f"{start}/rows", params={"detector": name}).json()["total"] > 0


def test_settings_that_come_later_are_told_apart_and_joined_again(tmp_path: Path) -> None:
    row = {"study": "s", "model": "m", "detector": "knn"} | CELL | {"value": 0.5}
    index = Index(tmp_path / "study", tmp_path / "index")
    for k in (1, 20):
        write.rows(tmp_path / "study", f"k{k}", [row | {"params": {"k": k}}])
        index.renew()
    asked = "SELECT detector, method FROM rows ORDER BY job"
    assert index.ask(asked).rows() == [("knn k=1", "knn"), ("knn k=20", "knn")]
    (tmp_path / "study" / "rows" / "k1.parquet").unlink()
    index.renew()
    assert index.ask(asked).rows() == [("knn", "knn")]


def test_a_sample_is_explained_by_the_setting_of_its_score(study: Path, tmp_path: Path) -> None:
    seen = viewer(study, tmp_path).view()
    assert set(TWO) < {one["detector"] for one in seen["scores"]}
    assert set(TWO) < {one["detector"] for one in seen["why"]} and not seen["notes"]


def without(folder: Path, to: Path, **changes: Any) -> Path:
    """A copy of a study whose study.json says otherwise."""
    copy = shutil.copytree(folder, to / "results")
    shutil.copytree(folder.parent / "cache", to / "cache")
    restate(copy, lambda manifest: manifest.update(changes))
    return copy


def test_the_study_keeps_the_digests_of_what_it_measured(study: Path) -> None:
    said = query.manifest(study)["data"]
    assert set(said) == {"test", "digit 8", "unit tests"} and len(set(said.values())) == 3
    assert said["test"] == query.rows(study, "detector IS NULL")["data_digest"][0]


@pytest.mark.parametrize("name", ["test", "digit 8"])
def test_the_dashboard_does_not_show_data_that_changed(study: Path, tmp_path: Path, name: str) -> None:
    stated = query.manifest(study)["study"]
    if name == "test":
        stated["id"]["test"] = digits("val")
    else:
        stated["ood"][0]["source"] = digits("all", [7])
    found = viewer(without(study, tmp_path, study=stated), tmp_path, name)
    seen = found.view()
    assert seen["picture"] is None and len(seen["scores"]) == 4
    assert any("another digest" in note for note in seen["notes"])
    with pytest.raises(Missing, match="not what was measured"):
        found.origin.item(name, 0)
    assert viewer(tmp_path / "results", tmp_path / "other", "unit tests").view()["picture"]


def test_what_could_not_be_checked_is_shown_with_a_note(study: Path, tmp_path: Path) -> None:
    old = without(study, tmp_path, data=None)
    seen = viewer(old, tmp_path).view()
    assert seen["picture"] and any("'digit 8' are what was measured could not be checked" in n for n in seen["notes"])
    assert not viewer(old, tmp_path / "other", "test").view()["notes"]

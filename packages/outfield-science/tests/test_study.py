"""The package on the whole road: listed, in a study, in rows, in a report, in statistics."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from outfield.features.cache import Cache
from outfield.registry import names
from outfield.reports import page
from outfield.reports.results import Results
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield_science.tasks.one_class import OneClass


def rotors(blades: list[int], n: int, part: str) -> dict[str, Any]:
    return {"name": "micro_doppler", "blades": blades, "n": n, "part": part, "pulses": 16, "bursts": 16}


STUDY = {
    "name": "rotors",
    "task": {
        "name": "one_class",
        "id": {part: rotors([1, 2], 30, {"train": "fit"}.get(part, part)) for part in ("train", "val", "test")},
        "ood": {"near": {"six blades": rotors([6], 30, "test")}, "four blades": rotors([4], 30, "test")},
        "anomalies": rotors([4, 6], 10, "fit"),
    },
    "network": {"name": "svdd_lenet", "width": 2},
    "epochs": 1,
    "models": [
        {"strategy": "baseline", "label": "classifier", "seeds": [0, 1]},
        {"strategy": "deep_svdd", "seeds": [0, 1]},
        {"strategy": {"name": "deep_svdd", "contamination": 0.1}, "label": "contaminated", "seeds": [0, 1]},
        {"strategy": "deep_sad", "seeds": [0, 1]},
    ],
    "detectors": ["svdd", "oc_svm", "input_forest", "rpo", "tangent_pca", "msp", "knn"],
    "resources": {"processes": 1},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("rotors")
    outcome = run(Spec.parse(STUDY), folder / "study", cache=Cache(folder / "cache"))
    assert not outcome.failures
    return Results.of(folder / "study")


def test_every_part_of_the_package_is_found_by_name() -> None:
    wanted = {"sources": "micro_doppler", "tasks": "one_class", "networks": "svdd_lenet", "strategies": "deep_svdd"}
    assert all(name in names(kind) for kind, name in wanted.items())


def test_every_model_and_detector_has_rows_of_the_task(results: Results) -> None:
    rows = results.rows
    assert rows["task"].unique().to_list() == ["one_class"]
    found = rows.filter(pl.col("metric") == "auroc", pl.col("part").is_null())
    assert len(found) == 8 * 7 * 2 and found["value"].is_between(0, 1).all()
    performance = rows.filter(pl.col("metric") == OneClass.measures[0])
    assert performance["model"].n_unique() == 8


def test_the_report_shows_the_package_like_any_other(results: Results) -> None:
    text = page.html(results)
    assert all(name in text for name in ("tangent_pca", "input_forest", "deep_svdd", "six blades"))

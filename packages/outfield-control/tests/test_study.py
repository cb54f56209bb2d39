"""A study of policies, from its file to the report: by the same road as any other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from outfield.cli import main
from outfield.errors import Problems, UserError
from outfield.features.cache import Cache
from outfield.reports.results import Results
from outfield.studies.run import run
from outfield.studies.spec import Spec

STUDIES = Path(__file__).parents[1] / "studies"


def study(**changes: Any) -> Spec:
    """Two seeds of each strategy on few logs, hardly trained."""
    given = {
        "name": "policies",
        "task": {"name": "point_mass", "episodes": 64, "winds": [0.2, 0.6], "logs": logs(episodes=20)},
        "models": [{"strategy": {"name": n, "epochs": 2, "updates": 20}, "seeds": [0, 1]} for n in ("bc", "mcep")],
        "detectors": ["knn", "corp"],
        "resources": {"processes": 1},
    }
    return Spec.parse(given | changes)


def logs(**fields: Any) -> dict[str, Any]:
    return {"name": "point_mass_logs", **fields}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("studies")
    run(study(), base / "policies", cache=Cache(base / "cache")).check()
    return base / "policies"


@pytest.fixture(scope="module")
def rows(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "rows" / "*.parquet")


def typed(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["outfield", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_the_mean_return_is_a_row_for_the_test_set_and_each_wind(rows: pl.DataFrame) -> None:
    returns = rows.filter(metric="mean_return", role="test")
    assert set(rows["task"]) == {"point_mass"} and returns.height == 4 * 3
    assert set(returns.select("ood", "shift", "severity").iter_rows()) == {
        (None, None, None),
        ("wind 0.2", "wind", 1),
        ("wind 0.6", "wind", 2),
    }
    assert (returns["low"] < returns["value"]).all() and (returns["value"] < returns["high"]).all()
    assert not {"accuracy", "ece"} & set(rows["metric"])


def test_detectors_are_asked_to_tell_wind_from_calm(rows: pl.DataFrame) -> None:
    found = rows.filter(metric="auroc", set_kind="ood", role="test")
    assert set(found.select("detector", "ood").unique().iter_rows()) == {
        (detector, wind) for detector in ("knn", "corp") for wind in ("wind 0.2", "wind 0.6")
    }
    means = dict(found.group_by("ood").agg(pl.col("value").mean()).iter_rows())
    assert 0.5 < means["wind 0.2"] < means["wind 0.6"], "the stronger the wind, the plainer"


def test_the_scores_are_set_beside_the_return_of_the_same_episodes(rows: pl.DataFrame) -> None:
    found = rows.filter(metric="error_correlation")
    assert found.height == 4 * 2 and found["ood"].is_null().all()
    assert (found.filter(detector="knn")["value"] > 0).all(), "far starts are rare and cost more"


def test_the_report_says_mean_return(folder: Path, tmp_path: Path) -> None:
    assert typed("report", folder, "-o", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text()
    assert "Mean return" in page and "point_mass" not in Results.of(folder).rows["strategy"]
    assert "Accuracy against" not in page


def test_what_is_ahead_is_told_with_every_set_and_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(yaml.safe_dump(study().model_dump(mode="json", exclude_defaults=True)))
    assert typed("run", path, "--dry-run", "--out", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("wind 0.2", "wind 0.6", "learn", "Time: about"))
    assert "the trial failed" not in told


def test_a_second_run_has_nothing_to_do(folder: Path) -> None:
    again = run(study(), folder, cache=Cache(folder.parent / "cache"))
    assert (again.jobs, again.skipped) == (0, 4 * 3)


def test_other_logs_make_other_policies(folder: Path, tmp_path: Path) -> None:
    task = {"name": "point_mass", "episodes": 64, "winds": [0.2, 0.6], "logs": logs(episodes=20, random=0.0)}
    run(study(task=task), tmp_path, cache=Cache(folder.parent / "cache")).check()
    one, two = ({path.name for path in (place / "models").glob("*.safetensors")} for place in (folder, tmp_path))
    assert len(one) == len(two) == 4 and not one & two


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_are_sound(path: Path) -> None:
    spec = Spec.load(path)
    assert spec.name == path.stem and spec.task is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": {"name": "point_mass", "winds": "strong"}}, "winds"),
        ({"task": {"name": "point_mass", "breeze": 1}}, "breeze"),
        ({"models": [{"strategy": {"name": "td3_bc", "alpha": -1.0}}]}, "alpha"),
        ({"models": [{"strategy": "mixup"}]}, "episodes"),
        ({"network": {"name": "small_cnn", "classes": 2}}, "Expected a policy"),
    ],
)
def test_a_mistake_in_the_study_file_is_told(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises((UserError, Problems), match=told):
        run(study(**changes), tmp_path / "out", cache=Cache(tmp_path / "cache")).check()

"""OpenOOD's protocol: splits, full-spectrum, tuning on OOD-val alone, mean and spread over trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield import registry
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies.spec import Spec, shipped
from outfield.testing import simulated
from tests.support import digits, rows_of, run_small


def leaderboard(results: Results) -> pl.DataFrame:
    return registry.create("analyses", "leaderboard").of(results).frame()


def test_the_shipped_study_is_the_protocol() -> None:
    spec = Spec.load(shipped("openood_digits"))
    assert {one.category for one in spec.ood} == {"near", "far"} and spec.full_spectrum and spec.tuning is not None
    assert len(spec.detectors) >= 10 and [len(model.seeds) for model in spec.models] == [3]
    assert not {one.name for one in spec.tuning.ood} & {one.name for one in spec.ood}


def test_cells_are_means_over_sets_then_seeds_and_their_sd() -> None:
    rows = simulated.rows(seeds=3, detectors=("msp", "mds"), strategies={"baseline": "baseline"})
    table = leaderboard(Results.of(rows))
    plain = rows.filter(pl.col("detector") == "mds", pl.col("part").is_null())
    for split, measure, metric in (("near", "AUROC", "auroc"), ("far", "FPR95", "fpr_at_95_ood")):
        some = plain.filter(pl.col("metric") == metric, pl.col("ood_category") == split)
        seeds = [100 * some.filter(pl.col("seed") == seed)["value"].to_numpy().mean() for seed in range(3)]
        cell = table.filter(pl.col("detector") == "mds")[f"{split} {measure}"].item()
        assert cell == f"{np.mean(seeds):.2f} ± {np.std(seeds):.2f}"
    whole = pl.col("metric") == "accuracy", pl.col("set_kind") == "id", pl.col("role") == "test"
    accuracy = 100 * rows.filter(*whole)["value"].to_numpy()
    assert table["ID accuracy"][0] == f"{accuracy.mean():.2f} ± {accuracy.std():.2f}"
    assert table["seeds"].to_list() == [3, 3]


def test_few_trainings_are_said() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp",), strategies={"baseline": "baseline"})
    said = registry.create("analyses", "leaderboard").of(Results.of(rows)).sentences()
    assert "asks for three trainings; here is 1" in said[1]


TUNED = {
    "models": [{"strategy": "baseline", "seeds": [0]}],
    "detectors": ["knn", "react"],
    "full_spectrum": True,
    "tuning": {"ood": [{"name": "digit 9", "category": "near", "source": digits("all", [9])}]},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_small(tmp_path_factory.mktemp("protocol"), **TUNED).folder


def test_settings_are_chosen_without_the_test_sets(study: Path, tmp_path: Path) -> None:
    """Other test sets, the same curve on OOD-val and the same choice."""
    other = {"name": "letters", "category": "far", "source": {"name": "glyphs", "n": 40, "detail": 8, "side": 8}}
    rows = query.rows(run_small(tmp_path, **TUNED, ood=[other]).folder)
    before = query.rows(study)

    def curve(table: pl.DataFrame) -> list[tuple[object, ...]]:
        return (
            table.filter(pl.col("role") == "curve").select("detector", "params", "ood", "value").sort(pl.all()).rows()
        )

    def chosen(table: pl.DataFrame) -> list[tuple[object, ...]]:
        tuned = table.filter(pl.col("tuned"), pl.col("role") == "test")
        return tuned.select("detector", "params").unique().sort(pl.all()).rows()

    assert curve(before) == curve(rows) and len(curve(rows)) > 2
    assert {row[2] for row in curve(rows)} == {"digit 9"}
    assert chosen(before) == chosen(rows) and len(chosen(rows)) == 2


def test_tuning_reads_no_test_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from outfield.studies import bench

    read: set[str] = set()

    def watched(detector, fit, val, sets):  # type: ignore[no-untyped-def]
        read.update(sets)
        return tuned(detector, fit, val, sets)

    tuned = bench.tune
    monkeypatch.setattr(bench, "tune", watched)
    run_small(tmp_path, **TUNED)
    assert read == {"digit 9"}


def test_a_rerun_is_identical(study: Path, tmp_path: Path) -> None:
    again = run_small(tmp_path, **TUNED).folder
    assert rows_of(study).equals(rows_of(again))
    assert leaderboard(Results.of(study)).equals(leaderboard(Results.of(again)))
    assert "full-spectrum near AUROC" in leaderboard(Results.of(study)).columns

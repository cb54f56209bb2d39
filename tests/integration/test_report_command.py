"""`outfield report` as a user types it: with tracked runs, against another study, one model versus another."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield.cli import main
from outfield.features.cache import Cache
from outfield.store import write
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.trajectory import EvalSet, Run, Tracker
from tests.support import small_study


def typed(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["outfield", "report", *map(str, words)])
        main()
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two studies of the same strategies: the second trains longer."""
    base = tmp_path_factory.mktemp("studies")
    for name, epochs in (("short", 1), ("long", 4)):
        spec = Spec.parse(small_study(name=name, epochs=epochs))
        run(spec, base / name, cache=Cache(base / "cache")).check()
    return base / "short", base / "long"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    sets = [EvalSet("ID", 80, "id"), EvalSet("noisy", 80), EvalSet("rotated", 80)]
    for seed in range(5):
        chance = np.random.default_rng(seed)
        tracker = Tracker(Run("followed", "net", seed), sets, folder)
        for step in range(0, 90, 10):
            for place, one in enumerate(sets):
                tracker.log(step, set=one.name, correct=chance.random(80) < 0.3 + 0.006 * step - 0.1 * place)
    return folder


def test_a_report_takes_in_tracked_runs(folders: tuple[Path, Path], tracked: Path, tmp_path: Path) -> None:
    alone, both = tmp_path / "alone.html", tmp_path / "both.html"
    assert typed(folders[0], "-o", alone) == typed(folders[0], "--with", tracked, "-o", both) == 0
    heading = "Trajectories: "
    assert heading not in alone.read_text()
    text = both.read_text()
    assert text.count(heading) >= 2 and f"--with {tracked}" in text
    assert "noisy" in text and "rotated" in text


def test_a_report_of_tracked_runs_says_that_label_shares_differ(
    folders: tuple[Path, Path], tracked: Path, tmp_path: Path
) -> None:
    leaning, out = tmp_path / "leaning", tmp_path / "report.html"
    shutil.copytree(tracked, leaning)
    for path in (leaning / "rows").glob("*.parquet"):
        rows = pl.read_parquet(path)
        accuracy = rows.filter(metric="accuracy")
        most = accuracy.filter(ood="noisy").with_columns(role=pl.lit("baseline"), value=pl.lit(0.8))
        write.parquet(pl.concat([rows, accuracy.with_columns(metric=pl.lit("balanced_accuracy")), most]), path, "rows")
    for words in ((folders[0], "--with", leaning), (leaning,)):
        assert typed(*words, "-o", out) == 0
        assert "Label shares differ (more frequent label: noisy 80%)" in out.read_text()


def test_a_report_names_the_machines_of_its_study(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (machine,) = json.loads((folders[0] / "study.json").read_text())["machines"]
    assert typed(folders[0], "-o", tmp_path / "page.html") == 0
    assert machine in (tmp_path / "page.html").read_text()


def test_a_study_against_another(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = folders
    assert typed(long, "--against", short, "-o", tmp_path / "page.html") == 0
    said = capsys.readouterr().out
    assert "short" in said and "long" in said and "Comparison:" in said
    assert f"--against &#39;{short}&#39;" in (tmp_path / "page.html").read_text()


def test_a_model_versus_another(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ("--model", "baseline-0", "--versus", "label_noise-0")
    assert typed(folders[0], *models, "-o", tmp_path / "page.html") == 0
    said = capsys.readouterr().out
    assert "baseline-0" in said and "label_noise-0" in said
    assert typed(folders[0], "--model", "baseline-0", "--versus", "label_noise-7") == 2
    assert "label_noise-7" in capsys.readouterr().err


def test_a_model_card_is_of_one_model(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert typed(folders[0], "--hf", tmp_path / "README.md") == 2
    assert not (tmp_path / "README.md").exists()

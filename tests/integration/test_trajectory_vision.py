"""A tracked training run of pictures: killed, it goes on to the same rows; its report holds both kinds of measure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from outfield.errors import UserError
from outfield.registry import create
from outfield.reports import trajectory_page as page
from outfield.store import query, write
from outfield.store.schema import HALVES
from outfield.temporary_files import tag
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.track import load, track

DIGITS = {"name": "digits", "side": 8, "classes": [0, 1, 2]}
STUDY = {
    "name": "tiny",
    "kind": "vision",
    "epochs": 3,
    "network": {"name": "small_cnn", "width": 4},
    "id": {split: DIGITS | {"part": split.replace("train", "fit")} for split in ("train", "val", "test")},
    "shifts": [{"shift": "rotation", "severities": [3]}, {"shift": "gaussian_noise", "severities": [2]}],
    "same_labels": [
        {"name": "printed", "source": {"name": "glyphs", "kind": "digits", "n": 90, "side": 8, "classes": [0, 1, 2]}}
    ],
    "ood": [{"name": "eights", "category": "near", "source": DIGITS | {"classes": [8]}}],
    "models": [{"strategy": "baseline", "seeds": [0, 1]}],
    "detectors": ["energy", "knn"],
    "checkpoints": {"early": 3, "even": 6},
    "resources": {"processes": 1},
}
KILLED = """
import os, signal, sys
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.track import track
kill = lambda run, done, total: done == 4 and os.kill(os.getpid(), 9)
track(Trajectory.load(sys.argv[1]), sys.argv[2], progress=kill)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    track(Trajectory.parse(STUDY), folder)
    return folder


def compared(folder: Path) -> pl.DataFrame:
    return query.rows(folder).drop("seconds").sort("run", "step", "set_kind", "ood", "detector", "metric")


def test_a_killed_run_goes_on_to_the_same_rows(whole: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(file), str(tmp_path / "out")], check=False)
    assert ended.returncode == -9
    outcome = track(load(file), tmp_path / "out")
    assert outcome.present == 4 and outcome.measured > 4
    assert compared(tmp_path / "out").equals(compared(whole))
    assert track(load(file), tmp_path / "out").measured == 0


class Killed(KeyboardInterrupt):
    pass


def test_runs_that_were_killed_at_their_end_leave_no_checkpoint(tmp_path: Path) -> None:
    def kill(run: str, done: int, total: int) -> None:
        if done == total:
            raise Killed

    spec = Trajectory.parse(STUDY | {"epochs": 1, "models": [{"strategy": "baseline", "seeds": [0]}]})
    with pytest.raises(Killed):
        track(spec, tmp_path, progress=kill)
    (left,) = (tmp_path / "checkpoints").iterdir()
    left.with_name(f".{left.name}.{tag()[:8]}-{2**22 + 1}-1.part").write_bytes(b"half")
    assert track(spec, tmp_path).measured == 0
    assert list((tmp_path / "checkpoints").iterdir()) == []
    left.mkdir()
    assert track(spec, tmp_path).measured == 0


def test_a_last_checkpoint_whose_rows_are_damaged_is_measured_again(whole: Path, tmp_path: Path) -> None:
    def kill(run: str, done: int, total: int) -> None:
        if done == 4:
            raise Killed

    spec = Trajectory.parse(STUDY)
    with pytest.raises(Killed):
        track(spec, tmp_path, progress=kill)
    files = list((tmp_path / "rows").glob("*.parquet"))
    last = max(files, key=lambda file: pl.read_parquet(file)["step"][0])
    last.write_bytes(last.read_bytes()[:100])
    with pytest.warns(write.DamagedFileWarning, match="its job is done again"):
        outcome = track(spec, tmp_path)
    assert outcome.present == 3 and outcome.present + outcome.measured == len(list((whole / "rows").iterdir()))
    assert compared(tmp_path).equals(compared(whole))


def test_runs_in_two_processes_give_the_same_rows(whole: Path, tmp_path: Path) -> None:
    told: set[str] = set()
    spec = Trajectory.parse(STUDY | {"resources": {"processes": 2}})
    track(spec, tmp_path, progress=lambda run, *_: told.add(run))
    assert told == {"baseline-0", "baseline-1"} and compared(tmp_path).equals(compared(whole))


def test_generalisation_and_detection_are_in_one_report(whole: Path) -> None:
    rows = query.rows(whole)
    assert set(rows["metric"]) > {"accuracy", "auroc", *HALVES, "parameters", "ece", "nll", "fpr_at_95_id", "aurc"}
    assert set(rows["detector"].drop_nulls()) == {"energy", "knn"}
    last = rows.filter(pl.col("step") == rows["step"].max(), metric="accuracy", set_kind="id")
    first = rows.filter(step=0, metric="accuracy", set_kind="id")
    assert last["value"].mean() > first["value"].mean()
    path = page.write(whole, whole / "report.html")
    text = path.read_text()
    assert "Generalisation and detection along training" in text and "knn: eights" in text and "2 runs" in text


def test_the_number_of_steps_is_that_of_the_loop(whole: Path) -> None:
    data = create("sources", "digits", side=8, classes=(0, 1, 2), part="fit").load()
    assert query.rows(whole)["step"].max() == create("strategies", "baseline").total_steps(len(data), 3)


def test_a_detector_that_asks_the_model_again_is_measured_and_changes_no_other(whole: Path, tmp_path: Path) -> None:
    track(Trajectory.parse(STUDY | {"detectors": ["energy", "knn", "odin"]}), tmp_path)
    rows = query.rows(tmp_path)
    assert rows.filter(detector="odin", metric="auroc")["step"].n_unique() == rows["step"].n_unique()
    others = rows.filter(pl.col("detector").is_null() | (pl.col("detector") != "odin"))
    place = ["run", "step", "detector", "ood", "metric"]
    both = others.join(query.rows(whole), on=place, nulls_equal=True)
    assert both.height == others.height == query.rows(whole).height
    gaps = (both["value"] - both["value_right"]).abs().drop_nulls()
    assert gaps.max() < 1e-5, "batches of another size give other last digits"  # type: ignore[operator]


def test_a_file_says_its_kind(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: x\nkind: audio")
    with pytest.raises(UserError, match="vision or nli"):
        load(tmp_path / "s.yaml")


def test_labels_from_elsewhere_must_be_the_id_classes(tmp_path: Path) -> None:
    source = {"name": "printed", "source": {"name": "glyphs", "kind": "digits", "n": 50, "side": 8}}
    with pytest.raises(UserError, match=r"does not know 3, 4, .* \(34 of 50 rows\): it names 0, 1, 2. Name them alike"):
        track(Trajectory.parse(STUDY | {"same_labels": [source]}), tmp_path)

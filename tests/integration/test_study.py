"""A study end to end: its rows, its resumption, and what goes wrong in real life."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from outfield.errors import OutfieldError, Problems, UserError
from outfield.features.cache import Cache, DamagedEntryWarning
from outfield.store import query, scores
from outfield.store.write import DamagedFileWarning
from outfield.studies.executors.base import Done, Executor, Failed, Notify
from outfield.studies.executors.local import Local
from outfield.studies.run import Outcome, run
from outfield.studies.spec import Spec
from tests.support import assert_close, digits, rows_of, run_small, small_study

WHOLE = pl.col("part").is_null()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_small(tmp_path_factory.mktemp("study")).check()


def test_rows_hold_every_model_detector_and_set(finished: Outcome) -> None:
    rows = query.rows(finished.folder)
    auroc = rows.filter(WHOLE, metric="auroc")
    assert set(auroc.select("model", "detector", "ood").rows()) == {
        (model, detector, ood)
        for model in ("baseline-0", "label_noise-0")
        for detector in ("msp", "mds", "odin")
        for ood in ("digit 8", "unit tests")
    }
    assert auroc.select(pl.col("value").is_between(pl.col("low"), pl.col("high")).all()).item()
    assert set(rows.filter(metric="auroc", ood="unit tests")["part"]) == {None, "grey", "rademacher"}
    assert set(rows.filter(metric="accuracy", set_kind="shift")["severity"]) == {1, 5}
    assert {"total_variance", "participation_ratio", "tiny_share", "norm_mean", "norm_sd"} <= set(rows["metric"])
    assert set(rows.filter(detector="odin")["passes"]) == {3.0}


def test_both_fpr_conventions_and_every_diagnostic_are_there(finished: Outcome) -> None:
    measured = set(query.rows(finished.folder)["metric"])
    assert {"fpr_at_95_id", "fpr_at_95_ood", "aupr_in", "aupr_out", "autc", "ece", "nll", "brier", "aurc"} <= measured
    assert {f"auroc_{kind}" for kind in ("correct_vs_incorrect", "correct_vs_ood", "incorrect_vs_ood")} <= measured


def test_scores_kept_per_sample_give_the_same_auroc(finished: Outcome) -> None:
    from sklearn.metrics import roc_auc_score

    rows = query.rows(
        finished.folder, "metric = 'auroc' AND part IS NULL AND detector = 'mds' AND model = 'baseline-0'"
    )
    for path in (finished.folder / "scores" / "baseline-0").glob("*.parquet"):
        scores = pl.read_parquet(path)
        if not set(rows["ood"]) <= set(scores["set"]):
            continue  # the merits of the model's own answers: no OOD set is among them
        values = dict(rows.select("ood", "value").rows())
        known = scores.filter(set="test")["score"]
        found = {ood: scores.filter(set=ood)["score"] for ood in values}
        if all(
            np.isclose(roc_auc_score([0] * len(known) + [1] * len(f), [*known, *f]), values[ood], atol=1e-6)
            for ood, f in found.items()
        ):
            return
    pytest.fail("no file of scores gives the AUROCs of the rows")


def test_running_again_does_nothing(finished: Outcome) -> None:
    again = run_small(finished.folder.parent)
    assert (again.jobs, again.forwards, again.skipped) == (0, 0, finished.jobs)


def test_a_further_detector_costs_no_training_and_no_second_forward_pass(finished: Outcome, tmp_path: Path) -> None:
    first = run_small(tmp_path)
    more = run_small(tmp_path, detectors=["msp", "mds", "odin", "energy"])
    assert (more.jobs, more.forwards, more.skipped) == (2, 0, first.jobs)


def test_what_rows_say_of_the_study_is_renewed_without_a_forward_pass(tmp_path: Path) -> None:
    first = run_small(tmp_path)
    again = run_small(tmp_path, name="renamed", id=small_study()["id"] | {"name": "digits 0-3"})
    assert (again.jobs, again.forwards, again.skipped) == (first.jobs, 0, 0)
    assert query.rows(again.folder).select("study", "id").unique().rows() == [("renamed", "digits 0-3")]


def test_an_uninterrupted_run_is_the_same_twice(finished: Outcome, tmp_path: Path) -> None:
    assert rows_of(finished.folder).equals(rows_of(run_small(tmp_path).check().folder))


def test_two_processes_give_the_rows_of_one(finished: Outcome, tmp_path: Path) -> None:
    parallel = run_small(tmp_path, resources={"processes": 2}).check()
    assert rows_of(parallel.folder).equals(rows_of(finished.folder))


PROGRAM = """
import sys
from pathlib import Path
from tests.support import run_small
run_small(Path(sys.argv[1]), resources={"processes": int(sys.argv[2])})
"""


def start(folder: Path, repository: Path, processes: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(processes)]
    return subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, start_new_session=True)


def wait_for_rows(running: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    end = time.monotonic() + 120
    while len(list(folder.glob("results/rows/*.parquet"))) < count:
        assert running.poll() is None, running.stderr and running.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_kill_9_in_the_middle_then_again_gives_the_same_rows(
    finished: Outcome, tmp_path: Path, repository: Path
) -> None:
    running = start(tmp_path, repository)
    wait_for_rows(running, tmp_path, 2)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    kept = len(list(tmp_path.glob("results/rows/*.parquet")))
    resumed = run_small(tmp_path).check()
    assert kept < finished.jobs
    assert (resumed.skipped, resumed.jobs) == (kept, finished.jobs - kept), "nothing is done twice"
    assert rows_of(resumed.folder).equals(rows_of(finished.folder))


def test_ctrl_c_stops_all_workers_and_the_study_resumes(finished: Outcome, tmp_path: Path, repository: Path) -> None:
    running = start(tmp_path, repository, processes=2)
    wait_for_rows(running, tmp_path, 1)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode != 0
    assert b"KeyboardInterrupt" in said
    assert rows_of(run_small(tmp_path).check().folder).equals(rows_of(finished.folder))


@pytest.fixture
def copied(finished: Outcome, tmp_path: Path) -> Iterator[Path]:
    import shutil

    shutil.copytree(finished.folder.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_damaged_rows_file_is_named_and_its_job_done_again(copied: Path, finished: Outcome) -> None:
    victim = min(copied.glob("results/rows/*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.warns(DamagedFileWarning, match=victim.name):
        again = run_small(copied).check()
    assert again.jobs == 1
    assert rows_of(again.folder).equals(rows_of(finished.folder))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "header"])
def test_a_damaged_cache_entry_is_named_and_made_again(copied: Path, finished: Outcome, damage: str) -> None:
    for path in copied.glob("results/rows/*.parquet"):
        path.unlink()
    victim = min(copied.glob("cache/*/features.npy"))
    content = bytearray(victim.read_bytes())
    if damage == "truncated":
        victim.write_bytes(content[:-8])
    elif damage == "flipped":
        content[-3] ^= 1
        victim.write_bytes(content)
    else:
        (victim.parent / "header.json").write_text("{")
    with pytest.warns(DamagedEntryWarning, match=victim.parent.name):
        again = run_small(copied).check()
    assert 0 < again.forwards < finished.forwards
    assert rows_of(again.folder).equals(rows_of(finished.folder))


def test_changed_weights_give_fresh_numbers(copied: Path, finished: Outcome) -> None:
    weights = next(copied.glob("results/models/baseline-0.*.safetensors"))
    changed = copied / "other.safetensors"
    save_file(
        {name: value + 0.05 if value.is_floating_point() else value for name, value in load_file(weights).items()},
        changed,
    )
    network = {"name": "small_cnn", "width": 4, "classes": 4}
    stored = [{"weights": str(path), "network": network, "label": path.stem[:5]} for path in (weights, changed)]
    outcome = run_small(copied, models=stored).check()
    auroc = (
        query.rows(outcome.folder)
        .filter(WHOLE, metric="auroc")
        .pivot("model", values="value", index=["detector", "ood"])
    )
    earlier = query.rows(finished.folder).filter(WHOLE, metric="auroc", model="baseline-0")
    same = auroc.join(earlier.select("detector", "ood", "value"), on=["detector", "ood"])
    assert same.filter(pl.col("basel") != pl.col("value")).is_empty()
    assert not same.filter(pl.col("other") != pl.col("value")).is_empty()


def test_nan_logits_name_the_model_and_the_set_and_the_others_go_on(copied: Path, finished: Outcome) -> None:
    weights = next(copied.glob("results/models/baseline-0.*.safetensors"))
    tensors = load_file(weights)
    name = max(name for name in tensors if name.endswith("bias"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, copied / "broken.safetensors")
    network = {"name": "small_cnn", "width": 4, "classes": 4}
    stored = {"weights": str(copied / "broken.safetensors"), "network": network, "label": "broken"}
    outcome = run_small(copied, models=[stored, {"strategy": "baseline", "seeds": [0]}])
    assert [failure.model for failure in outcome.failures] == ["broken"]
    assert outcome.jobs == 0, "the sound model was done already"
    with pytest.raises(UserError, match="broken.* NaN or infinity"):
        outcome.check()


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.features.cache import Entry

    def full(self: Entry, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Entry, "_write", full)
    outcome = run_small(tmp_path)
    with pytest.raises(UserError, match="No space left on device.*Free some space"):
        outcome.check()
    assert not list(tmp_path.glob("cache/*"))
    assert not list(tmp_path.glob("results/rows/*"))
    monkeypatch.undo()
    assert run_small(tmp_path).check().jobs == len(outcome.keys)


def test_a_disk_that_is_full_when_weights_are_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.studies import recipes

    def full(*_: Any) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(recipes, "save_file", full)
    with pytest.raises(UserError, match="No space left on device.*Free some space"):
        run_small(tmp_path).check()


@dataclass(frozen=True)
class Elsewhere(Executor):
    """A machine whose processes work in another folder, and may have another one under the name of the study's."""

    current: Path
    seen_as: Path | None = None

    def run(self, work: Any, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        sent = pickle.dumps(replace(work, folder=self.seen_as) if self.seen_as else work)
        with contextlib.chdir(self.current):
            yield from Local(processes=1).run(pickle.loads(sent), tasks, notify)


def test_a_relative_folder_is_the_same_for_every_machine(
    finished: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    spec, cache = Spec.parse(small_study()), Cache(Path("cache"))
    outcome = run(spec, "results", executor=Elsewhere(tmp_path / "elsewhere"), cache=cache).check()
    assert outcome.folder == Path("results")
    assert rows_of(outcome.folder).equals(rows_of(finished.folder))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_jobs_whose_rows_went_elsewhere_are_not_done(tmp_path: Path) -> None:
    lost = Elsewhere(tmp_path, seen_as=tmp_path / "on another machine")
    outcome = run(Spec.parse(small_study()), tmp_path / "results", executor=lost, cache=Cache(tmp_path / "cache"))
    assert outcome.jobs == 0
    with pytest.raises(UserError, match=r"(?s)baseline-0: Expected the rows .* of 4 are not there"):
        outcome.check()


def test_a_folder_that_cannot_be_written_is_a_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="Expected to write"):
        run_small(tmp_path)


def test_a_read_only_folder_is_a_users_mistake(tmp_path: Path, repository: Path) -> None:
    """As another user, since root may write anywhere."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o555)
    if os.geteuid() != 0:
        with pytest.raises(UserError, match="Permission denied"):
            run_small(tmp_path)
        return
    pytest.importorskip("pwd")
    from outfield.store import write

    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            write.begin(tmp_path / "results", [], "{}")
        except UserError:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ood": [{"name": "x", "category": "near", "source": digits("test")}]}, "hold the same data"),
        ({"id": small_study()["id"] | {"val": digits("test")}}, "hold the same data"),
        ({"ood": [{"name": "x", "category": "near", "source": {"name": "folder", "path": "no/such"}}]}, "no/such"),
        (
            {"tuning": {"ood": [{"name": "t", "category": "near", "source": digits("all", [8])}]}},
            "what is chosen or trained on may not be tested on",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Problems, match=message):
        run_small(tmp_path, **changes)
    assert not list(tmp_path.glob("results/*"))


def test_labels_outside_the_head_are_refused(copied: Path) -> None:
    weights = next(copied.glob("results/models/baseline-0.*.safetensors"))
    network = {"name": "small_cnn", "width": 4, "classes": 4}
    stored = [{"weights": str(weights), "network": network, "label": "four"}]
    five = {
        split: digits(part, [0, 1, 2, 3, 4]) for split, part in (("train", "fit"), ("val", "val"), ("test", "test"))
    }
    with pytest.raises(UserError, match="labels from 0 to 3 .* but got 0 to 4"):
        run_small(copied, models=stored, id=five).check()


def test_one_class_id_is_refused_with_the_reason(tmp_path: Path) -> None:
    one = {split: digits(part, [0]) for split, part in (("train", "fit"), ("val", "val"), ("test", "test"))}
    with pytest.raises(UserError, match="at least 2 classes"):
        run_small(tmp_path, id=one).check()


def test_tuning_keeps_the_whole_curve_and_tells_tuned_from_untuned(tmp_path: Path) -> None:
    tuning = {"ood": [{"name": "digit 9", "category": "near", "source": digits("all", [9])}]}
    outcome = run_small(
        tmp_path, tuning=tuning, detectors=["odin", "msp"], models=[{"strategy": "baseline", "seeds": [0]}]
    )
    rows = query.rows(outcome.check().folder)
    curve = rows.filter(role="curve")
    assert set(curve["ood"]) == {"digit 9"}
    assert curve["params"].n_unique() == 8
    best = curve.sort("value", descending=True)["value"][0]
    tuned = rows.filter(detector="odin", role="test", metric="auroc")
    assert set(tuned["tuned"]) == {True}
    assert set(curve.filter(value=best)["params"]) >= set(tuned["params"])
    assert set(rows.filter(detector="odin", role="baseline")["tuned"]) == {False}
    assert set(rows.filter(detector="msp")["role"]) == {"test"}


def test_tuning_sets_that_are_renamed_are_tuned_on_again(tmp_path: Path) -> None:
    def run(name: str, category: str) -> Outcome:
        tuning = {"ood": [{"name": name, "category": category, "source": digits("all", [9])}]}
        models = [{"strategy": "baseline", "seeds": [0]}]
        return run_small(tmp_path, tuning=tuning, detectors=["gen", "msp"], models=models).check()

    run("nines", "near")
    again = run("digit 9", "far")
    assert (again.jobs, again.forwards) == (1, 0), "GEN, tuned"
    curve = query.rows(again.folder).filter(role="curve")
    assert curve.select("ood", "ood_category").unique().rows() == [("digit 9", "far")]


def test_a_failed_identity_stops_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.studies import bench

    def off(*_: Any) -> None:
        raise OutfieldError("AUROC_all is not its parts")

    monkeypatch.setattr(bench, "check_identities", off)
    with pytest.raises(OutfieldError, match="AUROC_all"):
        run_small(tmp_path, models=[{"strategy": "baseline", "seeds": [0]}]).check()


def test_the_bench_leaves_weights_and_mode_untouched(tmp_path: Path) -> None:
    first = run_small(tmp_path).check()
    before = {path.name: path.read_bytes() for path in first.folder.glob("models/*")}
    for path in first.folder.glob("rows/*"):
        path.unlink()
    run_small(tmp_path).check()
    assert before == {path.name: path.read_bytes() for path in first.folder.glob("models/*")}


def test_a_detector_that_cannot_be_fitted_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    blind = {"strategy": {"name": "under_trained", "share": 0.001}, "seeds": [0]}
    outcome = run_small(tmp_path, models=[blind], detectors=["she", "msp"])
    assert [(failure.model, failure.detector) for failure in outcome.failures] == [("under_trained-0", "she")]
    assert "predicts right" in outcome.failures[0].reason
    with pytest.warns(query.MissingRowsWarning, match="1 of the 3 jobs"):
        assert set(query.rows(outcome.folder)["detector"]) == {None, "msp"}
    with pytest.raises(UserError, match="under_trained-0, she: Expected fit rows of every class"):
        outcome.check()


def test_scores_that_are_gone_are_told_and_made_again(tmp_path: Path) -> None:
    folder = run_small(tmp_path).check().folder
    before = rows_of(folder)
    gone = folder / "scores" / "baseline-0" / f"{scores.jobs(folder, 'baseline-0')['msp']}.parquet"
    whole = pl.read_parquet(gone)
    gone.unlink()
    with pytest.warns(query.MissingRowsWarning, match=f"scores of 1 jobs of baseline-0 .* are gone: {gone.stem}"):
        assert len(scores.jobs(folder, "baseline-0")) == 2
    with pytest.warns(DamagedFileWarning, match="without its scores, which are damaged or gone"):
        assert run_small(tmp_path).check().jobs == 1
    assert_close(rows_of(folder), before)
    assert_frame_equal(pl.read_parquet(gone), whole)

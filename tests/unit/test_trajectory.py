"""The tracker keeps what it is told, and the analysis finds what was put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outfield.data.member import Counted
from outfield.errors import UserError
from outfield.metrics.balanced_accuracy import BalancedAccuracy
from outfield.reports import trajectory_page as page
from outfield.reports.displays import trajectory_network, trajectory_tables
from outfield.stats.smooth import Smoother
from outfield.store import query, write
from outfield.studies.bench import HALVES
from outfield.trajectory import EvalSet, Run, Tracker, log_spaced_then_even
from outfield.trajectory.analysis import Trajectories
from outfield.trajectory.model import ID, Model
from outfield.trajectory.tracker import SkippedCheckpointWarning, balanced, over_checkpoints
from outfield.types import Array

SETS = (EvalSet("test", 300, "id"), EvalSet("first", 300), EvalSet("second", 300), EvalSet("third", 300))
STEPS = range(9)


def test_the_schedule_begins_before_training_and_ends_with_it() -> None:
    steps = log_spaced_then_even(1000, early=8, even=10)
    assert steps[0] == 0 and steps[1] == 1 and steps[-1] == 1000
    assert set(np.diff(steps[-10:])) == {100}
    with pytest.raises(UserError, match="even >= 1"):
        log_spaced_then_even(10, even=0)


def simulated(folder: Path, model: str, seed: int, size: float | None = None) -> None:
    """First and second share a wave of their own in every run; third has none."""
    rng = np.random.default_rng([seed, len(model)])
    tracker = Tracker(Run("sim", model, seed), SETS, folder)
    wander, wave = rng.normal(size=(2, len(STEPS)))
    rise, wave = np.linspace(0.5, 0.8, len(STEPS)) + 0.05 * wander, 0.1 * wave
    difficulty = rng.random((4, 300))
    for step in STEPS:
        chances = {"test": rise[step], "first": 0.9 * rise[step] + wave[step], "second": 0.8 * rise[step] + wave[step]}
        chances["third"] = 0.7 * rise[step]
        with tracker.checkpoint(step) as at:
            for row, (name, chance) in enumerate(chances.items()):
                at.log(step, set=name, correct=difficulty[row] < chance)
            if size:
                at.measure(step, "parameters", size, set="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulated")
    for model in ("small", "large"):
        for seed in range(6):
            simulated(place, model, seed)
    return place


def test_the_analysis_finds_the_shared_wave(folder: Path) -> None:
    found = Trajectories.of(folder)
    linear = found.pairs.filter(smoother="linear")
    for row in linear.iter_rows(named=True):
        if (row["first"], row["second"]) == ("first", "second"):
            assert row["value"] > 0.8 and row["low"] > 0 and row["p"] < 0.05 and row["q"] <= 3.001 * row["p"]
            assert row["plain"] > 0.5 and abs(row["corrected"] - row["value"]) < 0.2
    assert set(found.models[0].values) == {"first", "second", "third"}
    assert found.models[0].steps.tolist() == list(STEPS)[1:]
    assert found.reliability.filter(set="first")["reliability"].min() > 0.9
    assert found.agreement.n_units == 2


def test_items_of_an_earlier_form_of_the_study_are_left_alone(tmp_path: Path) -> None:
    sets = [EvalSet("test", 100, "id"), EvalSet("a", 100), EvalSet("b", 100)]
    for key, items in (("x", 100), ("y", 200), ("z", 100)):
        jobs = []
        for seed in range(5):
            tracker = Tracker(
                Run("sim", "net", seed, key=key), [replace(one, data=Counted(items)) for one in sets], tmp_path
            )
            rng = np.random.default_rng([items, seed, ord(key)])
            for step in range(8):
                for one in sets:
                    tracker.log(step, set=one.name, correct=rng.random(items) < 0.3 + 0.05 * step)
                jobs.append(tracker.key(step))
        write.begin(tmp_path, jobs, "{}")
        model = Trajectories.of(tmp_path).models[0]
        np.testing.assert_allclose(model.correct[ID].mean(axis=2), model.id, atol=1e-12)


def test_one_measure_has_no_pair_and_the_page_says_so(tmp_path: Path) -> None:
    for seed in range(5):
        tracker = Tracker(Run("sim", "net", seed), SETS[:2], tmp_path)
        for step in range(8):
            for one in SETS[:2]:
                tracker.log(step, set=one.name, correct=np.random.default_rng([seed, step]).random(300) < 0.5)
    found = Trajectories.of(tmp_path)
    assert found.pairs.is_empty() and "q" in found.pairs.columns
    assert "No pair of sets could be compared" in page.html(found)


def test_accuracies_whose_names_hold_a_colon_share_no_id_scores(tmp_path: Path) -> None:
    sets = [SETS[0], EvalSet("ANLI: R1", 300), EvalSet("ANLI: R2", 300)]
    for seed in range(2):
        tracker = Tracker(Run("sim", "net", seed), sets, tmp_path)
        for step in range(8):
            for row, one in enumerate(sets):
                rng = np.random.default_rng([seed, step, row])
                tracker.log(step, set=one.name, correct=rng.random(300) < 0.4 + 0.05 * step)
    assert not Trajectories.of(tmp_path).pairs["shared_id"].any()


def test_the_page_and_figures_hold_the_numbers(folder: Path) -> None:
    found = Trajectories.of(folder)
    text = page.html(found, command="outfield track sim.yaml")
    assert "first" in text and "Generalisation and detection" not in text and "outfield track sim.yaml" in text
    edges = trajectory_network.network(found).frame()
    assert edges.filter(first="first", second="second")["side"].to_list() == ["positive", "positive"]
    assert len(trajectory_network.network(found).plot().to_dict()["vconcat"]) == 2
    assert "plain" in trajectory_tables.partial_correlations(found).headings()


def test_aurocs_of_the_same_id_scores_correlate_and_those_of_other_halves_do_not(tmp_path: Path) -> None:
    steps, sets = range(40), (SETS[0], EvalSet("a", 300, "ood"), EvalSet("b", 300, "ood"))
    for seed in range(6):
        rng = np.random.default_rng([7, seed])
        tracker, rise = Tracker(Run("sim", "net", seed), sets, tmp_path), np.linspace(0.5, 0.8, 40)
        shared, own = 0.05 * rng.normal(size=(2, 40)), 0.02 * rng.normal(size=(2, 40))
        for step in steps:
            with tracker.checkpoint(step) as at:
                at.log(step, set="test", correct=int(300 * rise[step]), n=300)
                for row, name in enumerate(("a", "b")):
                    true = 0.3 + 0.5 * rise[step] + own[row, step]
                    for metric, noise in zip(("auroc", *HALVES), (shared.mean(axis=0), *shared), strict=True):
                        at.measure(step, metric, true + noise[step], set=name, detector="msp")
    found = Trajectories.of(tmp_path)
    row = found.pairs.filter(smoother="linear").row(0, named=True)
    assert row["shared_id"] and row["low"] > 0.5 and row["apart_low"] < 0 < row["apart_high"]
    table = trajectory_tables.partial_correlations(found)
    assert table.headings()["apart"] == "apart" and "share their ID scores" in table.caption


def test_the_average_correlation_is_drawn_against_the_size_of_the_model(tmp_path: Path) -> None:
    sizes = {"small": 1e6, "medium": 3e7, "large": 1e9}
    for model, size in sizes.items():
        for seed in range(5):
            simulated(tmp_path, model, seed, size)
    shown = trajectory_tables.against_size(Trajectories.of(tmp_path))
    table = shown.frame()
    assert table["parameters"].to_list() == sorted(sizes.values()) and table["runs"].to_list() == [5, 5, 5]
    assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()
    assert shown.plot().to_dict()["layer"][1]["encoding"]["x"]["scale"]["type"] == "log"


def test_models_of_one_size_say_why_there_is_no_figure(folder: Path) -> None:
    with pytest.raises(UserError, match="two known sizes"):
        trajectory_tables.against_size(Trajectories.of(folder))


def leaning(folder: Path, seed: int) -> None:
    """The model leans to one label or the other, by a wave; what it knows of either set is not shared."""
    rng = np.random.default_rng([3, seed])
    tracker, wave = Tracker(Run("sim", "net", seed), SETS[:3], folder), 0.2 * rng.normal(size=12)
    labels = {"test": np.arange(300) % 2, "first": np.arange(300) < 250, "second": np.arange(300) >= 250}
    for step in range(12):
        with tracker.checkpoint(step) as at:
            for name, label in labels.items():
                chance = 0.5 + 0.02 * step + 0.05 * rng.normal() + np.where(label, wave[step], -wave[step])
                at.log(step, set=name, correct=rng.random(300) < chance, labels=label)
                share = max(label.mean(), 1 - label.mean())
                if step == 0:
                    at.measure(0, "accuracy", share, set=name, role="baseline")


def test_balanced_accuracy_leaves_a_leaning_to_one_label_out(tmp_path: Path) -> None:
    for seed in range(6):
        leaning(tmp_path, seed)
    plain, balanced = Trajectories.of(tmp_path), Trajectories.of(tmp_path, "balanced_accuracy")
    one, other = (found.pairs.filter(smoother="linear").row(0, named=True) for found in (plain, balanced))
    assert one["high"] < 0 and other["low"] < 0 < other["high"] and other["corrected"] is None
    said = " ".join(page.uneven_labels(plain, balanced))
    assert "first 83%, second 83%" in said and "By balanced accuracy, of 1 pairs 0 are positive" in said
    assert "leaning to one answer" in page.write(tmp_path, tmp_path / "report.html").read_text()


def test_balanced_accuracy_needs_labels(folder: Path) -> None:
    with pytest.raises(UserError, match="Log the labels too"):
        Trajectories.of(folder, "balanced_accuracy")


def test_one_run_that_is_long_has_a_test_by_circular_shift(tmp_path: Path) -> None:
    rng, tracker = np.random.default_rng(0), Tracker(Run("sim", "net"), SETS[:3], tmp_path)
    for step, rise in enumerate(np.linspace(0.3, 0.8, 80)):
        for one in SETS[:3]:
            tracker.log(step, set=one.name, correct=rng.random(300) < rise)
    said = " ".join(page.sentences(Trajectories.of(tmp_path)))
    assert "cannot be told" in said and "by circular shift within one run" in said and "permutation" not in said


def test_the_interval_of_balanced_accuracy_is_that_of_the_metric() -> None:
    labels = np.arange(30) % 2
    for right in (labels == 1, np.ones(30, dtype=bool), np.arange(30) % 3 == 0):
        found = balanced(right, labels)
        of_metric = BalancedAccuracy()(np.eye(2)[np.where(right, labels, 1 - labels)], labels)
        assert (found.value, found.low, found.high) == pytest.approx((of_metric.value, of_metric.low, of_metric.high))
        assert found.low < found.high


def test_labels_of_other_items_are_refused_and_nothing_is_logged(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS[:1], tmp_path)
    with pytest.raises(UserError, match="300 labels, one for each item, but got"):
        tracker.log(0, set="test", correct=np.ones(300), labels=np.ones(299))
    assert not tracker.done(0)


def test_a_set_that_never_moves_in_a_run_is_left_out_of_the_mean_over_pairs() -> None:
    moving = np.random.default_rng(0).normal(size=(3, 3, 9))
    moving[2, 0] = moving[1:, 1] = 0

    class Left(Model):
        def residuals(self, measure: str, smoother: Smoother = "spline") -> Array:
            return self.values[measure]

    model = Left("net", ("a", "b", "c"), np.arange(9), np.arange(9.0), dict(zip("xyz", moving, strict=True)))
    means = [np.corrcoef(moving[:2, 0])[0, 1], np.corrcoef(moving[:, 2])[[0, 0, 1], [1, 2, 2]].mean()]
    found = trajectory_tables._mean_pair(model)
    assert found["mean"] == pytest.approx(np.mean(means)) and found["runs"] == 2
    still = Left("net", ("a", "b"), np.arange(9), np.arange(9.0), dict.fromkeys("xy", np.zeros((2, 9))))
    assert np.isnan(trajectory_tables._mean_pair(still)["mean"]) and trajectory_tables._mean_pair(still)["runs"] == 0


def test_fewer_than_five_runs_give_an_interval_and_no_p(tmp_path: Path) -> None:
    for seed in range(3):
        simulated(tmp_path, "net", seed)
    row = Trajectories.of(tmp_path).pairs.row(0, named=True)
    assert row["p"] is None and row["low"] < row["value"] and "no p" in row["note"]


def test_one_run_says_why_there_is_no_test(tmp_path: Path) -> None:
    simulated(tmp_path, "net", 0)
    row = Trajectories.of(tmp_path).pairs.row(0, named=True)
    assert row["p"] is None and row["low"] is None and "at least 60 steps" in row["note"]
    found = Trajectories.of(tmp_path)
    said = " ".join(page.sentences(found))
    assert "cannot be told: intervals take several runs" in said and "significance is not known" in said
    assert "do not agree" not in said and "permutation" not in said and "nan" not in said
    assert set(trajectory_network.network(found).frame()["side"]) == {"interval holds 0"}


def test_rows_are_written_when_every_set_is_there_and_only_once(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS[:2], tmp_path)
    tracker.log(5, set="test", correct=np.ones(300))
    assert not tracker.done(5)
    tracker.log(5, set="first", correct=np.arange(300) < 90, labels=np.arange(300) % 2)
    again = Tracker(Run("s", "m"), SETS[:2], tmp_path)
    assert again.done(5)
    for name in ("test", "first"):
        again.log(5, set=name, correct=np.zeros(300))
    values = {row["metric"]: row["value"] for row in query.rows(tmp_path, "ood = 'first'").iter_rows(named=True)}
    assert values == {"accuracy": 0.3, "balanced_accuracy": 0.3}
    assert again.items(5).filter(set="first")["merit"].sum() == 90


def test_a_checkpoint_block_that_fails_writes_nothing(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS[:2], tmp_path)
    with pytest.raises(UserError, match="step 1, but got none of first"), tracker.checkpoint(1):
        tracker.log(1, set="test", correct=200, n=300)
    with pytest.raises(ZeroDivisionError), tracker.checkpoint(2):
        tracker.log(2, set="test", correct=1 / 0, n=300)
    assert not tracker.done(1) and not tracker.done(2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"set": "firts", "correct": 1, "n": 300}, "one of the sets"),
        ({"set": "first", "correct": [True]}, "300 items"),
        ({"set": "first", "correct": 301, "n": 300}, "0 to 300"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, call: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Tracker(Run("s", "m"), SETS[:2], tmp_path).log(0, **call)  # type: ignore[arg-type]


def test_a_checkpoint_that_does_not_load_is_named_and_has_a_row(tmp_path: Path) -> None:
    tracker = Tracker(Run("s", "m"), SETS[:2], tmp_path)
    paths = {1: tmp_path / "sound.ckpt", 2: tmp_path / "broken.ckpt"}

    def load(path: Path) -> int:
        if path.stem == "broken":
            raise UserError("not a checkpoint")
        return 150

    with pytest.warns(SkippedCheckpointWarning, match="broken.ckpt"):
        skipped = over_checkpoints(
            tracker, paths, load, lambda right: dict.fromkeys(("test", "first"), np.arange(300) < right)
        )
    assert skipped == (2,)
    assert "broken.ckpt" in query.rows(tmp_path, "metric = 'skipped'")["params"][0]

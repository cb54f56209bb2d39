"""What a dry run says of a study, held against what its run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outfield.cli import app
from outfield.strategies.base import Strategy
from outfield.studies.forecast import Forecast, forecast
from outfield.studies.plan import outlook, plan
from outfield.studies.sets import load
from outfield.studies.spec import Spec
from tests.support import run_small, small_study

TUNED = {"ood": [{"name": "letters", "category": "far", "source": {"name": "glyphs", "side": 8, "n": 20}}]}
STUDIES: dict[str, dict[str, Any]] = {
    "probes, and shifts": {},
    "no probe": {"detectors": ["msp"]},
    "probes on few inputs": {"probe_limit": 20},
    "probes on inputs that some sets have": {"probe_limit": 100, "detectors": ["msp", "gram", "odin", "adascale"]},
    "shards": {"resources": {"processes": 1, "shards": 3}},
    "tuned": {"tuning": TUNED},
}


@pytest.mark.parametrize("changes", STUDIES.values(), ids=STUDIES)
def test_a_dry_run_and_a_run_count_the_same(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = Spec.parse(small_study(**changes))
    sets = load(spec)
    ahead = outlook(plan(spec, sets).tasks, sets)
    outcome = run_small(tmp_path, **changes)
    assert (ahead.forwards, ahead.jobs) == (outcome.forwards, outcome.jobs + len(outcome.failures))


def test_a_forecast_scales_with_what_is_ahead_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outfield.studies import forecast as module

    clock = iter(range(1_000_000))
    monkeypatch.setattr(module, "perf_counter", lambda: float(next(clock)))
    spec = Spec.parse(small_study(epochs=3))
    sets = load(spec)
    tasks = plan(spec, sets).tasks
    found = forecast(spec, sets, tasks, tmp_path / "results")
    steps = sum(Strategy.total_steps(task.recipe.training, len(sets.train.data), 3) for task in tasks)
    assert found == Forecast(training=steps, measuring=2.0, processes=1)
    assert not list(tmp_path.iterdir())
    assert forecast(spec, sets, tasks[:1], tmp_path / "results").measuring == 1.0


def test_weights_that_are_there_are_not_trained_again_in_a_forecast(tmp_path: Path) -> None:
    folder = run_small(tmp_path).check().folder
    spec = Spec.parse(small_study(detectors=["msp", "mds", "odin", "knn"]))
    sets = load(spec)
    found = forecast(spec, sets, plan(spec, sets).tasks, folder)
    assert found.training == 0 and found.measuring > 0 and not found.untold


def test_the_command_tells_passes_and_time(tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(small_study()), encoding="utf-8")
    said = CliRunner().invoke(app(), ["run", str(path), "--dry-run", "--out", str(tmp_path / "results")])
    words = " ".join(said.output.split())
    spec = Spec.load(path)
    sets = load(spec)
    assert f"{outlook(plan(spec, sets).tasks, sets).forwards:,} forward passes of one input" in words
    assert "Time: about " in words and "with 1 process (" in words

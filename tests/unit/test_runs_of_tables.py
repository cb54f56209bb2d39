"""A table whose rows are checkpoints of runs: read, correlated within runs, over windows, against reruns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from outfield.cli import app
from outfield.errors import UserError
from outfield.reports import trajectory_page
from outfield.reports.analysis import analyse
from outfield.reports.findings import findings
from outfield.reports.findings.runs import of_runs, window_decides
from outfield.stats.noise_floor import noise_floor
from outfield.stats.runs import mean_over_runs, sign_test, within_runs
from outfield.stats.smooth import residuals
from outfield.stats.windows import partial_from, windows
from outfield.tables.runs import Checkpoints, read
from outfield.trajectory.analysis import Trajectories
from outfield.types import Array


def correlated(a: Array, b: Array, given: Array) -> float:
    return float(np.corrcoef(residuals(a, given, "linear"), residuals(b, given, "linear"))[0, 1])


def table(runs: int = 6, steps: int = 30, seed: int = 0, turn: int = 10) -> pl.DataFrame:
    """The first and the second set share a wave: against each other up to a step, with each other after it."""
    rng = np.random.default_rng(seed)
    rows = []
    for run in range(runs):
        rise, wave = np.linspace(0.3, 0.8, steps), rng.normal(0, 0.02, steps)
        sign = np.where(np.arange(steps) < turn, -4.0, 1.0)
        columns = {"val": rise, "first": rise + wave, "second": rise + sign * wave, "third": 0.5 * rise}
        noisy = {name: values + rng.normal(0, 0.004, steps) for name, values in columns.items()}
        rows.append(pl.DataFrame({"model": [f"net{run}"] * steps, "step": np.arange(steps) + 1, **noisy}))
    return pl.concat(rows)


def known(frame: pl.DataFrame, **options: object) -> Checkpoints:
    return read(frame, run="model", step="step", id="val", ood=["first", "second", "third"], **options)  # type: ignore[arg-type]


def test_windows_are_those_of_each_window_alone() -> None:
    rng = np.random.default_rng(1)
    a, b, given = rng.normal(size=(3, 4, 40)).cumsum(axis=-1)
    steps = [np.arange(40.0)] * 4
    found = windows(a, b, given, steps=steps)
    for at in (0, 7, 30):
        alone = within_runs(a[:, at:], b[:, at:], given[:, at:])
        assert np.allclose(found.per_run[:, at], alone.per_run)
        ends = (alone.estimate.value, alone.estimate.low, alone.estimate.high)
        assert np.allclose((found.mean[at], found.low[at], found.high[at]), ends)
    short = partial_from(np.stack([a[0], b[0], given[0]]), steps[0], np.array([5.0]), np.array([24.0]))[0, 0, 1]
    assert short == pytest.approx(correlated(a[0, 5:25], b[0, 5:25], given[0, 5:25]))


def test_a_measure_that_no_longer_moves_has_no_estimate_in_that_window() -> None:
    rng = np.random.default_rng(0)
    a, b, given = rng.normal(size=(3, 30))
    a[12:] = 0.7
    found = partial_from(np.stack([a, b, given]), np.arange(30.0), np.array([0.0, 10.0, 12.0, 20.0]))[:, 0, 1]
    assert np.isfinite(found).tolist() == [True, True, False, False]


def test_runs_that_end_early_do_not_turn_the_sign() -> None:
    rng = np.random.default_rng(0)
    long, short = rng.normal(size=40), rng.normal(size=15)
    rows = [(long, -long + rng.normal(0, 0.1, 40)), *([(short, short + rng.normal(0, 0.1, 15))] * 3)]
    a, b = zip(*rows, strict=True)
    given = [rng.normal(size=len(each)) for each in a]
    found = windows(a, b, given, steps=[np.arange(len(each)) for each in a])
    assert np.nanmin(found.mean) < -0.9 and found.mean[0] > 0, "one run is left at the end"
    assert found.stable and not found.comparable[-1]


def test_kin_count_once() -> None:
    r = np.array([0.5, 0.5, 0.5, 0.5, -0.2, 0.1])
    kin = ["a", "a", "a", "a", "b", "c"]
    value, low, high, units = mean_over_runs(r, kin)
    assert units == 3 and value == pytest.approx(np.tanh(np.arctanh([0.5, -0.2, 0.1]).mean()))
    assert high - low > np.subtract(*mean_over_runs(r)[2:0:-1])
    assert sign_test(r, kin) == 1.0 and sign_test(np.full(6, 0.1)) == pytest.approx(2 / 2**6)


def test_a_table_has_the_numbers_of_within_runs() -> None:
    frame = table()
    found = Trajectories.of_table(known(frame), name="nets")
    row = found.pairs.filter(first="first", second="second", smoother="linear").row(0, named=True)
    values = {name: frame[name].to_numpy().reshape(6, 30) for name in ("val", "first", "second")}
    alone = within_runs(values["first"], values["second"], values["val"])
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (alone.estimate.value, alone.estimate.low, alone.estimate.high)
    )
    assert row["runs"] == 6 and row["p"] is not None
    assert row["p_sign"] == sign_test(alone.per_run) and row["positive"] == (alone.per_run > 0).sum()


def test_runs_of_unequal_steps_are_correlated_each_at_its_own() -> None:
    frame = table()
    cut = frame.filter((pl.col("model") != "net0") | (pl.col("step") <= 20))
    step = pl.when(pl.col("model") == "net1").then(pl.col("step") + 0.5).otherwise("step")
    moved = cut.with_columns(step=step)
    found = Trajectories.of_table(known(moved))
    own = found.models[0].correlations("linear")[:, 0, 1]
    part = frame.filter(pl.col("model") == "net0", pl.col("step") <= 20)
    assert own[0] == pytest.approx(correlated(*(part[name].to_numpy() for name in ("first", "second", "val"))))
    row = found.pairs.filter(smoother="linear").row(0, named=True)
    assert row["p"] is None and "0 steps in common" in row["note"] and row["p_sign"] is not None


def test_a_measure_that_one_run_has_not_leaves_that_run_out() -> None:
    frame = table().with_columns(pl.when(pl.col("model") != "net2").then("third").alias("third"))
    row = (
        Trajectories.of_table(known(frame))
        .pairs.filter(first="first", second="third", smoother="linear")
        .row(0, named=True)
    )
    assert row["runs"] == 5 and "1 of 6 runs left out" in row["note"]


def test_the_window_that_decides_the_sign_is_told() -> None:
    found = Trajectories.of_table(known(table()))
    (told,) = window_decides(found)
    assert told.code == "OF032" and "1 of 3" in told.sentence
    assert "first with second" in told.sentence and "over all checkpoints" in told.sentence
    row = found.window_frame().filter(first="first", second="second").row(0, named=True)
    assert not row["stable"] and len(row["turns"]) == 1 and 5 <= row["turns"][0] <= 15
    steady = Trajectories.of_table(known(table(turn=0)))
    assert not list(window_decides(steady)) and steady.windows["table", "first", "second"].stable


def reruns(sd: float = 0.01) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    frame = table(runs=3, steps=80)
    again = frame.filter(pl.col("model") != "net2").with_columns(model=pl.col("model") + "-rerun")
    both = pl.concat([frame, again])
    names = ("val", "first", "second", "third")
    return both.with_columns(pl.col(name) + rng.normal(0, sd, both.height) for name in names)


def test_reruns_give_the_noise_floor_and_are_kin() -> None:
    read_in = known(reruns())
    assert dict(read_in.reruns) == {"net0-rerun": "net0", "net1-rerun": "net1"}
    assert set(read_in.kin) == {"net0", "net1", "net2"}
    found = Trajectories.of_table(read_in)
    floor = found.floor
    assert floor["sd"].to_list() == pytest.approx([0.01] * 4, rel=0.15)
    assert ((floor["low"] < 0.01) & (floor["high"] > 0.01)).all() and (floor["pairs"] == 2).all()
    steps = dict(floor.select("measure", "steps below").iter_rows())
    assert steps["val"] > 0.8 and steps["third"] > 0.8, "a step of .006 is below a floor of .028"
    assert {"OF033"} <= {each.code for each in of_runs(found)}
    with pytest.raises(UserError, match="repeat a configuration"):
        _ = Trajectories.of_table(known(table())).floor


def test_a_drift_apart_is_in_the_floor_of_runs_and_not_in_that_of_steps() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01 * np.sqrt(2), (4, 200))
    still, drift = noise_floor(list(noise)), noise_floor(list(noise + np.linspace(0, 0.1, 200)))
    assert drift.sd.value > 2 * still.sd.value
    assert drift.step_to_step == pytest.approx(still.step_to_step, rel=0.01) == pytest.approx(0.01, rel=0.05)


def test_standard_errors_give_reliability_items_and_the_correction() -> None:
    frame = table().with_columns((pl.col("val") * (1 - pl.col("val")) / 9999).sqrt().alias("val_se"))
    read_in = known(frame, errors={"val": "val_se"})
    assert read_in.items("val") == pytest.approx(10_000)
    found = Trajectories.of_table(read_in)
    assert found.reliability["set"].to_list() == ["ID"] and found.reliability["items"].to_list() == [10_000]
    row = found.pairs.filter(smoother="linear").row(0, named=True)
    assert row["corrected_runs"] == 6 and row["corrected"] != pytest.approx(row["value"], abs=1e-3)


def test_kin_by_a_column_or_by_their_names() -> None:
    frame = table().with_columns(size=pl.col("model").replace({"net1": "net0"}))
    assert len(set(known(frame, kin="size").kin)) == 5
    assert len(set(known(frame, kin="[015]$").kin)) == 4
    assert set(known(frame, kin=r"(?P<unit>net)\d").kin) == {"net"}


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda frame: pl.concat([frame, frame.with_columns(pl.col("val") + 0.1)]), {}, "one row a run and step"),
        (lambda frame: frame.filter(pl.col("step") < 4), {}, "at least 6 checkpoints"),
        (lambda frame: frame.with_columns(first=pl.lit(None, pl.Float64)), {}, "numbers in the column first"),
        (lambda frame: frame.rename({"step": "at"}), {}, "step"),
        (lambda frame: frame, {"rerun": "["}, "pattern after --rerun"),
        (lambda frame: frame, {"errors": pl.DataFrame({"val": [0.1]})}, "the same 180 rows"),
    ],
)  # fmt: skip
def test_mistakes_are_said(change, options, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=said):
        known(change(table()), **options)


def test_the_command_prints_windows_and_writes_the_page(tmp_path: Path) -> None:
    path, page = tmp_path / "runs.csv", tmp_path / "page.html"
    reruns().write_csv(path)
    arguments = ["analyse", str(path), "--step", "step", "--id", "val", "--html", str(page)]
    arguments += ["--ood", "first", "second", "third"]
    done = CliRunner().invoke(app(), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for said in ("OF032", "OF033", "From every start point", "noise, from reruns", "p, signs"):
        assert said in done.output
    text = page.read_text()
    assert 'id="along-windows"' in text and text.count('id="along-partial"') == 1


def test_models_are_compared_at_their_last_checkpoints() -> None:
    frame = table()
    found = analyse(frame, step="step", id="val", ood=["first", "second", "third"], unit="[01]$")
    assert found.measures.units.height == 6
    assert found.measures.column("val").tolist() == frame.filter(step=30)["val"].to_list()
    assert len(set(found.measures.clusters)) == 5
    assert "OF032" in {each.code for each in findings(found)}


def test_the_page_of_own_runs_tells_windows_too() -> None:
    found = Trajectories.of_table(known(table()))
    own = replace(found, checkpoints=None)
    assert any(note.startswith("OF032") for note in trajectory_page.cautions(own))

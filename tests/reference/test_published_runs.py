"""Published checkpoints: the numbers that are known of Pythia, of the OLMo ladder, and of 100 BERTs."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest

from outfield.reports.analysis import Analysis, analyse
from outfield.reports.findings.runs import of_runs
from outfield.tables.runs import Checkpoints, read
from outfield.trajectory.analysis import Trajectories
from tests.reference.realdata import root

TASKS = ("lambada_openai", "piqa", "sciq", "arc_easy", "arc_challenge", "logiqa", "winogrande", "wsc")
KINDS = tuple(f"{kind} (nonent)" for kind in ("Lexical", "Subseq", "Constituent"))
BOM = "\ufeff".encode()


@pytest.fixture(scope="module")
def pythia() -> Trajectories:
    folder = root("results/pythia") / "results" / "pythia"
    zero_shot = (pl.col("family") == "pythia-v1") & (pl.col("setting") == "zero-shot")
    values, errors = (
        pl.read_csv(folder / f"pythia_evals_wide_{kind}.csv", infer_schema_length=None).filter(zero_shot)
        for kind in ("values", "stderrs")
    )
    assert values.select("model", "step").equals(errors.select("model", "step"))
    names = [f"{task}:acc" for task in TASKS]
    found = read(values, run="model", step="step", id=names[0], ood=names[1:], errors=errors, kin="-deduped$|-bf16$")
    return Trajectories.of_table(found, name="Pythia")


@pytest.mark.parametrize(("start", "positive"), [(1, 9), (1000, 4), (13_000, 14)])
def test_the_window_decides_the_sign_of_piqa_and_sciq(pythia: Trajectories, start: float, positive: int) -> None:
    found = pythia.windows["Pythia", "piqa:acc", "sciq:acc"]
    at = int(np.flatnonzero(found.starts == start)[0])
    assert (found.positive[at], found.runs[at], found.units[at]) == (positive, 16, 8)


def test_pythia_is_sixteen_runs_of_eight_sizes(pythia: Trajectories) -> None:
    (model,) = pythia.models
    assert (len(model.runs), model.units, len(model.steps)) == (16, 8, 26)
    items = {name: round(count) for name, count in model.items.items()}
    assert items["ID"] == 5153 and items["piqa:acc"] == 1838 and items["wsc:acc"] == 104
    reliable = dict(pythia.reliability.select("set", "reliability").iter_rows())
    assert reliable["sciq:acc"] > 0.99 and reliable["logiqa:acc"] < 0
    (told,) = of_runs(pythia)
    assert told.code == "OF032"


@pytest.fixture(scope="module")
def olmo() -> Checkpoints:
    path = root("results/olmo_ladder") / "results" / "olmo_ladder" / "peteish-moreeval.csv"
    table = pl.read_csv(path, infer_schema_length=None)
    tasks = [name for name in table.columns if "downstream" in name and table[name].null_count() < 0.2 * table.height]
    known = "eval/downstream/hellaswag_val_rc_5shot_len_norm"
    return read(table, run="run", step="_step", id=known, ood=[name for name in tasks if name != known])


def test_reruns_of_olmo_differ_as_published(olmo: Checkpoints) -> None:
    """The median over tasks of each of the five reruns: .0067 to .0071 a checkpoint."""
    assert sorted(olmo.reruns) == [f"{size}-1xC-rerun" for size in ("190M", "1B", "370M", "3B", "760M")]
    sds = [[each.std(ddof=1) / np.sqrt(2) for each in olmo.differences(name)] for name in olmo.measures]
    medians = np.median(sds, axis=0)
    assert medians.min() == pytest.approx(0.0067, abs=2e-4) and medians.max() == pytest.approx(0.0071, abs=2e-4)


def test_the_olmo_ladder_is_correlated_at_each_runs_own_steps(olmo: Checkpoints) -> None:
    found = Trajectories.of_table(olmo, name="OLMo")
    (model,) = found.models
    assert len(model.runs) == 40 and model.units == 35 and found.smoothers == ("linear", "rank")
    row = found.pairs.filter(smoother="linear").row(0, named=True)
    assert row["runs"] == 35 and row["p"] is None and "steps in common" in row["note"] and row["p_sign"] > 0
    assert {"OF033"} <= {each.code for each in of_runs(found)}


@pytest.fixture(scope="module")
def berts() -> Analysis:
    """100 BERTs that differ in their seed alone, and three kinds of one OOD set."""
    name = "results/berts_of_a_feather_100_runs.csv"
    table = pl.read_csv(io.BytesIO((root(name) / name).read_bytes().removeprefix(BOM)), infer_schema_length=None)
    replicates = table.filter(pl.col("Run").str.starts_with("Run "), pl.col("MNLI dev acc.").is_not_null())
    return analyse(replicates, model="Run", id="MNLI dev acc.", ood=KINDS)


def test_mnli_goes_with_one_kind_of_hans_and_against_another(berts: Analysis) -> None:
    found = berts.relation_frame()
    assert found["n"].to_list() == [100] * 3
    assert found["pearson"].to_list() == pytest.approx([0.49, 0.25, -0.33], abs=0.005)


def test_kinds_of_one_set_need_not_agree_given_mnli(berts: Analysis) -> None:
    """Replicates of one recipe: two kinds of non-entailed pairs share nearly all, the third hardly anything."""
    linear = {pair: found.estimates["linear"] for pair, found in berts.pairs.items()}
    lexical, subsequence, constituent = KINDS
    assert linear[lexical, subsequence].value == pytest.approx(0.781, abs=0.002)
    assert linear[lexical, subsequence].low == pytest.approx(0.69, abs=0.01)
    assert linear[lexical, constituent].value == pytest.approx(0.096, abs=0.002)
    assert linear[lexical, constituent].low < 0 < linear[lexical, constituent].high
    assert linear[subsequence, constituent].value == pytest.approx(0.266, abs=0.002)

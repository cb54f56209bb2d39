"""Comparisons: planted differences come back with their sign, pairs are pairs, inputs are paired exactly."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from outfield import registry
from outfield.errors import UnknownName, UserError
from outfield.reports.comparison import compare
from outfield.reports.comparison_page import html
from outfield.stats import compare_aurocs
from outfield.store import schema, write

DETECTORS, SETS = ("msp", "knn", "mds"), ("near", "far")


def rows(seed: int = 0, detectors: tuple[str, ...] = DETECTORS, study: str = "one", **add: float) -> pl.DataFrame:
    """Six strategies x two seeds; ``add`` moves a detector's AUROC."""
    base, noise = np.random.default_rng(0), np.random.default_rng(seed + 1)
    found = []
    for strategy in "abcdef":
        level = base.normal(0.8, 0.03)
        for number in range(2):
            common = {"study": study, "role": "test", "strategy": strategy, "seed": number, "id": "id"}
            common |= {"model": f"{strategy}-{number}", "family": "baseline" if strategy == "a" else "recipe"}
            found.append(common | {"set_kind": "id", "metric": "accuracy", "value": level + 0.1})
            found.append(common | {"set_kind": "id", "metric": "ece", "value": 0.05 - add.get("ece", 0.0)})
            for detector in detectors:
                for ood in SETS:
                    value = level + add.get(detector, 0.0) + noise.normal(0, 0.002)
                    cell = {"set_kind": "ood", "ood": ood, "detector": detector, "n_id": 50, "n_ood": 40}
                    found.append(common | cell | {"metric": "auroc", "value": value})
                    found.append(common | cell | {"metric": "fpr_at_95_id", "value": 1 - value})
    return schema.frame(found)


def test_planted_differences_come_back_with_intervals() -> None:
    found = compare(rows(), rows(seed=5, study="two", mds=0.05, knn=-0.03, ece=0.01))
    table = {row["name"]: row for row in found.by("detector").iter_rows(named=True)}
    assert table["mds"]["low"] < 0.05 < table["mds"]["high"] and table["mds"]["verdict"] == "better"
    assert table["knn"]["low"] < -0.03 < table["knn"]["high"] and table["knn"]["verdict"] == "worse"
    assert abs(table["msp"]["value"]) < 0.003 and table["msp"]["n"] == 6
    overview = {row["name"]: row for row in found.overview.iter_rows(named=True)}
    assert overview["mean AUROC"]["value"] == pytest.approx(found.of("auroc", "ood")["difference"].mean())
    assert overview["mean FPR at 95% ID"]["value"] < 0 and overview["mean FPR at 95% ID"]["verdict"] == "better"
    assert overview["ECE"]["verdict"] == "better" and overview["accuracy"]["verdict"] == "the same"
    assert "two has a mean AUROC of" in found.sentences[0]


@pytest.fixture
def miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A metric of another package, as installed: less of it is better."""
    info = tmp_path / "missing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: missing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[outfield.metrics]\nmiss = foreign_miss:Miss\n")
    (tmp_path / "foreign_miss.py").write_text("class Miss:\n    higher_is_better = False\n    label = 'miss rate'\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._foreign.cache_clear()
    yield "miss"
    registry._foreign.cache_clear()


def with_a_copy(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows, and those of the AUROC once more under the name of another metric."""
    return pl.concat([table, table.filter(metric="auroc").with_columns(metric=pl.lit(metric))])


def test_a_foreign_metric_has_the_verdict_that_it_asks_for(miss: str) -> None:
    """The same values are better as an AUROC and worse as a metric of which less is better."""
    second = rows(seed=5, study="two", mds=0.05, knn=0.05, msp=0.05)
    found = compare(with_a_copy(rows(), miss), with_a_copy(second, miss))
    overview = {row["name"]: row for row in found.overview.iter_rows(named=True)}
    auroc, missed = overview["mean AUROC"], overview["mean miss rate"]
    assert (auroc["better"], auroc["verdict"]) == ("higher", "better")
    assert (missed["better"], missed["verdict"]) == ("lower", "worse")
    assert missed["value"] == auroc["value"] > 0 and "mean miss rate +0.050" in found.sentences[-1]
    for column in ("detector", "ood"):
        assert set(found.by(column)["verdict"]) == {"better"} and set(found.by(column, miss)["verdict"]) == {"worse"}


def test_a_metric_that_nobody_has_is_told(miss: str) -> None:
    found = compare(rows(), rows(seed=5, study="two"))
    assert found.overview["name"].to_list() == ["accuracy", "ECE", "mean AUROC", "mean FPR at 95% ID"]
    with pytest.raises(UserError, match="Expected the miss rate of the same strategy"):
        found.by("ood", miss)
    with pytest.raises(UnknownName, match="no metric 'mis'. Did you mean 'miss'"):
        found.by("ood", "mis")


def test_a_study_against_itself_has_no_difference() -> None:
    found = compare(rows(), rows())
    assert set(found.overview["verdict"]) == {"the same"}
    assert found.names == ("one (first)", "one (second)")


def test_pairs_are_rows_of_one_strategy_seed_detector_and_set() -> None:
    first, second = rows(), rows(seed=5, study="two", mds=0.05)
    pairs = compare(first, second.sample(fraction=1, shuffle=True, seed=0)).frame()
    one = pairs.filter(strategy="c", seed=1, detector="mds", ood="far", metric="auroc").row(0, named=True)
    for side, table in (("first", first), ("second", second)):
        cell = table.filter(strategy="c", seed=1, detector="mds", ood="far", metric="auroc")
        assert one[side] == cell["value"].item()


def test_what_is_only_in_one_is_named_and_in_no_difference() -> None:
    second = rows(seed=5, study="two", detectors=("msp", "vim")).filter(pl.col("strategy") != "f")
    found = compare(rows(), second)
    assert set(found.only.rows()) == {
        ("one", "strategy", "f"), ("one", "detector", "knn"), ("one", "detector", "mds"), ("two", "detector", "vim"),
    }  # fmt: skip
    assert set(found.of("auroc", "ood")["detector"]) == {"msp"}


def test_one_unit_has_no_interval() -> None:
    alone = rows().filter(pl.col("strategy") == "a", pl.col("seed") == 0)
    found = compare(alone, alone.with_columns(pl.col("value") + 0.01, study=pl.lit("two")))
    assert set(found.overview["verdict"]) == {"without an interval"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with scores of the same inputs; model b's mds is better."""
    place, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(3)
    shared = {name: rng.normal(size=n) for name, n in (("test", 80), ("near", 60), ("far", 50))}
    for model in ("a", "b"):
        for detector in ("msp", "mds"):
            gap = 2.5 if (model, detector) == ("b", "mds") else 1.0
            parts = []
            for name, values in shared.items():
                score = values + (0.0 if name == "test" else gap) + rng.normal(0, 0.5, len(values))
                parts.append(pl.DataFrame({"set": name, "row": np.arange(len(values)), "score": score}))
            common = {"study": "s", "role": "test", "model": model, "set_kind": "ood", "detector": detector}
            cells = [common | {"ood": name, "metric": "auroc", "value": 0.8} for name in ("near", "far")]
            write.rows(place, f"{model}{detector}", cells)
            write.scores(place, model, f"{model}{detector}", pl.concat(parts))
    return place


def test_two_models_are_compared_on_the_same_inputs(folder: Path) -> None:
    found = compare(folder, model="a", versus="b")
    cell = found.cells.filter(detector="mds", ood="far").row(0, named=True)
    scores = {}
    for model in ("a", "b"):
        table = pl.read_parquet(folder / "scores" / model / f"{model}mds.parquet")
        scores[model] = tuple(table.filter(pl.col("set") == name)["score"].to_numpy() for name in ("test", "far"))
    peer = compare_aurocs({"b": scores["b"], "a": scores["a"]}).frame().row(0, named=True)
    assert (cell["difference"], cell["low"], cell["high"]) == pytest.approx(
        (peer["difference"], peer["low"], peer["high"])
    )
    table = {row["name"]: row["verdict"] for row in found.by("detector").iter_rows(named=True)}
    assert table == {"mds": "better", "msp": "not told apart"}
    assert found.inputs.whole.value == pytest.approx(found.cells["difference"].mean())


def test_the_interval_of_a_mean_over_sets_counts_the_shared_id_inputs(folder: Path) -> None:
    """Against resampling inputs: ID inputs once for all sets."""
    found = compare(folder, model="a", versus="b").inputs.detectors["mds"]
    tables = [pl.read_parquet(folder / "scores" / m / f"{m}mds.parquet") for m in ("a", "b")]
    scores = [{n: t.filter(pl.col("set") == n)["score"].to_numpy() for n in ("test", "near", "far")} for t in tables]
    rng, draws = np.random.default_rng(0), []
    for _ in range(2000):
        at = {name: rng.integers(len(values), size=len(values)) for name, values in scores[0].items()}
        means = []
        for side in scores:
            picked = {name: side[name][at[name]] for name in at}
            means.append(np.mean([(picked[n][:, None] > picked["test"]).mean() for n in ("near", "far")]))
        draws.append(means[1] - means[0])
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(draws), rel=0.1)


def test_the_page_holds_the_sentences_and_asks_nothing_of_the_network(folder: Path) -> None:
    text = html(compare(folder, model="a", versus="b"), command="outfield report s --model b --versus a")
    assert "b against a" in text and "got better" in text and "outfield report s --model b" in text
    assert not re.search(r'(src|href)="(?!#|data:)', text.split("<script", 1)[0])
    for code in ("overview", "by-detector", "by-set", "where", "changes"):
        assert f'id="{code}"' in text


def test_the_means_and_their_difference_are_of_the_same_values() -> None:
    """With a strategy of more seeds than the others, and one that misses cells."""
    one = rows().filter((pl.col("strategy") == "a") | (pl.col("seed") == 0))
    two = rows(seed=5, study="two", mds=0.05).filter((pl.col("strategy") == "a") | (pl.col("seed") == 0))
    gap = (pl.col("strategy") == "c") & (pl.col("detector") == "mds")
    two = two.filter(~gap.fill_null(False)).with_columns(pl.col("value") + 0.1 * (pl.col("strategy") == "a"))
    found = compare(one, two)
    for row in found.overview.iter_rows(named=True):
        assert row["second"] - row["first"] == pytest.approx(row["value"]), row["name"]
    assert len(found.notes) == 1
    assert "Left out model 'c 0'" in found.notes[0] and "mean AUROC and mean FPR" in found.notes[0]
    assert "Left out model &#39;c 0&#39;" in html(found)


def sampled(folder: Path, to: Path, kept: int) -> Path:
    """A copy of a study in which one detector has scored the first inputs of each set alone."""
    shutil.copytree(folder, to)
    for path in to.glob("scores/*/*mds.parquet"):
        write.parquet(pl.read_parquet(path).filter(pl.col("row") < kept), path, "scores")
    return to


def test_means_over_detectors_are_of_the_inputs_that_all_have_scored(folder: Path, tmp_path: Path) -> None:
    found = compare(sampled(folder, tmp_path / "sampled", 30), model="a", versus="b")
    whole, cells = found.inputs, compare(folder, model="a", versus="b").inputs.cells
    own = whole.cells.filter(detector="msp").drop("p")
    assert own.equals(cells.filter(detector="msp").drop("p")), "one detector is judged on all that it scored"
    for path in (tmp_path / "sampled").glob("scores/*/*.parquet"):
        write.parquet(pl.read_parquet(path).filter(pl.col("row") < 30), path, "scores")
    same = compare(tmp_path / "sampled", model="a", versus="b").inputs
    assert (whole.whole, whole.sets, whole.means) == (same.whole, same.sets, same.means)
    assert whole.whole.n == 90 and not same.notes
    assert whole.means[1] - whole.means[0] == pytest.approx(whole.whole.value)
    auroc = found.overview.filter(name="mean AUROC").row(0, named=True)
    assert (auroc["first"], auroc["second"]) == whole.means
    assert found.notes == whole.notes and "of the 90 of 190 inputs that every detector scored" in html(found)


def test_too_few_inputs_in_common_are_told(folder: Path, tmp_path: Path) -> None:
    found = compare(sampled(folder, tmp_path / "sampled", 1), model="a", versus="b")
    with pytest.raises(UserError, match="Expected two inputs of .* or more that every detector scored"):
        _ = found.inputs
    assert not found.scored and "as if unpaired" in html(found)


def test_one_model_of_two_runs_of_a_study(folder: Path, tmp_path: Path) -> None:
    later = shutil.copytree(folder, tmp_path / "later")
    found = compare(folder, later, model="a")
    assert found.names == ("a (first)", "a (second)")
    assert found.inputs.whole.value == 0
    with pytest.raises(UserError, match="a twice. Name another one"):
        compare(folder, folder, model="a")


def test_mistakes_say_what_to_do(folder: Path) -> None:
    with pytest.raises(UserError, match="Add a study, or model and versus"):
        compare(rows())
    with pytest.raises(UnknownName, match="model"):
        compare(folder, model="a", versus="nobody")
    with pytest.raises(UserError, match="Name another one"):
        compare(folder, model="a")
    with pytest.raises(UserError, match="nothing|none"):
        compare(rows(), rows().with_columns(pl.col("strategy") + "x"))

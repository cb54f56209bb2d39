"""What counts as good is the task's: statistics, sentences and charts of an error, of which lower is better."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from scipy import stats

from outfield.errors import UserError
from outfield.reports import analysis_page, headline, page
from outfield.reports.analysis import analyse
from outfield.reports.displays.analyses import answer
from outfield.reports.results import Results
from outfield.store.performance import Performance, of_metric, performance

ERROR = "mean_absolute_error"
SETS = {"younger": "near", "older": "far", "noise": "far"}
DETECTORS = {"mds": 0.0, "knn": 0.02, "gradnorm": -0.05}


@dataclass(frozen=True)
class Regressor:
    """A strategy of the made study: its family, its error, and its mean AUROC before noise."""

    name: str
    family: str
    error: float
    auroc: float


REGRESSORS = [
    Regressor(f"r{i}", ("baseline", "augmentation", "small data")[i % 3], 40 + 2.0 * i, 0.9 - 0.03 * i)
    for i in range(9)
]


def rows(found: list[Regressor] = REGRESSORS, task: str | None = "regress", metric: str = ERROR) -> pl.DataFrame:
    """Rows of a study of regressors: errors, also under shift, and AUROCs of three detectors on three sets."""
    chance, made = np.random.default_rng(0), []
    for one in found:
        common = {"model": f"{one.name}-0", "strategy": one.name, "family": one.family, "seed": 0, "task": task}
        common |= {"study": "made", "n_id": 100}
        good = {"metric": metric, "low": one.error - 1, "high": one.error + 1}
        made.append(common | good | {"set_kind": "id", "value": one.error})
        for severity in (1, 2):
            place = {"set_kind": "shift", "shift": "noise", "ood": f"noise {severity}", "severity": severity}
            made.append(common | good | place | {"value": one.error + 5 * severity})
        for detector, better in DETECTORS.items():
            for ood, category in SETS.items():
                value = one.auroc + better + chance.normal(0, 0.005)
                place = {"set_kind": "ood", "ood": ood, "ood_category": category, "detector": detector, "n_ood": 50}
                ends = {"low": value - 0.02, "high": value + 0.02}
                made.append(common | place | {"metric": "auroc", "value": value} | ends)
    return pl.DataFrame(made, infer_schema_length=None)


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.of(rows())


def test_rows_without_a_task_are_judged_by_accuracy() -> None:
    assert performance(rows(task=None)) == Performance("accuracy", "Accuracy", True)
    found = Results.of(rows(task=None, metric="accuracy"))
    assert (found.performance, found.performance_label, found.higher_is_better) == ("accuracy", "Accuracy", True)


def test_tasks_with_different_performances_are_no_one_study() -> None:
    both = pl.concat([rows(), rows(task="classify", metric="accuracy")])
    with pytest.raises(UserError, match=r"classify \(accuracy\), regress \(mean_absolute_error\)"):
        performance(both)


def test_the_models_have_a_column_of_the_performance(results: Results) -> None:
    assert results.performance == ERROR and not results.higher_is_better
    assert "accuracy" not in results.models.columns
    assert results.models[ERROR].to_list() == [one.error for one in REGRESSORS]
    assert results.models["shifted"].to_list() == [one.error + 7.5 for one in REGRESSORS]


@pytest.mark.parametrize(("turn", "says"), [(1, "also detect OOD inputs better"), (-1, "detect OOD inputs worse")])
def test_lower_error_goes_with_better_detection(turn: int, says: str) -> None:
    turned = [Regressor(one.name, one.family, turn * one.error + 100, one.auroc) for one in REGRESSORS]
    found = Results.of(rows(turned))
    first = headline.sentences(found)[0]
    table = found.strategies
    rho = stats.spearmanr(table[ERROR], table["auroc"]).statistic
    assert first.startswith(f"Here the models of lower mean absolute error {says}: over 9 models")
    assert f"Spearman's rho of mean absolute error with mean AUROC is {rho:.2f} [" in first and rho * turn < -0.9


def test_the_report_says_error_and_never_accuracy(results: Results) -> None:
    text = page.html(results)
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "Mean absolute error against OOD detection" in text and "Mean absolute error under covariate shift" in text
    text = re.sub(r"(analysis-)?accuracy-on-the-curve", "", text)  # the name of an analysis, after its paper
    assert not re.findall(r".{40}accura.{40}", text, flags=re.IGNORECASE)


def test_no_error_is_drawn_as_a_share(results: Results) -> None:
    chart = answer("performance_against_detection", results).plot()
    assert chart is not None
    text = json.dumps(chart.to_dict())
    assert '"mean absolute error on the ID test set (lower is better)"' in text
    assert '"log"' not in text and "1 - datum.value" not in text
    classifiers = answer("performance_against_detection", Results.of(_classifiers())).plot()
    assert classifiers is not None and '"log"' in json.dumps(classifiers.to_dict())


def _classifiers() -> pl.DataFrame:
    right = [Regressor(one.name, one.family, 1 - one.error / 100, one.auroc) for one in REGRESSORS]
    return rows(right, task="classify", metric="accuracy")


def test_outfield_analyse_takes_the_error_for_the_id_measure() -> None:
    found = analyse(rows(), baseline="r3")
    table = found.measures
    assert table.id == ERROR and table.id_word == "mean absolute error"
    assert table.column(ERROR).tolist() == [one.error for one in REGRESSORS]
    assert found.relations["mean AUROC"].whole.estimate.value == pytest.approx(-1)
    said = " ".join(f"{one.title} {one.caption}" for each in analysis_page.displays(found).values() for one in each)
    assert "accuracy" not in said.lower() and "given mean absolute error" in said


def test_the_side_up_to_the_baseline_is_that_of_the_worse_models() -> None:
    low = analyse(rows(), baseline="r4").sides()["up to the baseline"]
    assert sorted((-low.x).tolist()) == [one.error for one in REGRESSORS if one.error >= REGRESSORS[4].error]
    assert low.estimate.value == pytest.approx(1)


def test_without_errors_it_says_what_to_add() -> None:
    with pytest.raises(UserError, match="Expected the mean absolute error of ID data beside the AUROCs"):
        analyse(rows().filter(pl.col("metric") == "auroc"))
    first = headline.sentences(rows().filter(pl.col("metric") == "auroc"))[0]
    assert first.startswith("Whether mean absolute error predicts OOD detection cannot be said: Expected rows of Mean")


def test_names_within_sentences() -> None:
    assert of_metric("ece").word == "ECE" and of_metric(ERROR).word == "mean absolute error"
    assert of_metric("accuracy").text(0.9731) == "97.3%" and of_metric(ERROR).text(41.234) == "41.2"

"""Ties as sets, what a detector costs in use, and inputs that all models fail on."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats as theory

from outfield import registry
from outfield.cli import main
from outfield.errors import UserError
from outfield.reports.displays import analyses
from outfield.reports.results import Results
from outfield.stats.decision_cost import Costs, best_threshold, held_out_cost
from outfield.stats.shared_failures import shared_failures
from outfield.stats.ties import tied_sets, ties
from outfield.studies.spec import Spec
from outfield.testing import simulated


def ask(name: str, results: Results, **params: object) -> object:
    return registry.create("analyses", name, **params).of(results)


def test_ties_are_the_largest_sets_without_a_difference() -> None:
    rng = np.random.default_rng(3)
    names = [f"d{i}" for i in range(7)]
    differing = [pair for pair in combinations(names, 2) if rng.random() < 0.5]
    apart = {frozenset(pair) for pair in differing}

    def tied(some: tuple[str, ...]) -> bool:
        return not any(frozenset(pair) in apart for pair in combinations(some, 2))

    every = [set(some) for k in range(1, 8) for some in combinations(names, k) if tied(some)]
    largest = [some for some in every if not any(some < other for other in every)]
    found = tied_sets(names, differing)
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest)) and len(found) > 3


def test_pairs_are_students_t_of_differences_with_holm() -> None:
    values = np.random.default_rng(0).normal(size=(9, 3)) + np.array([0.0, 0.5, 3.0])
    found = ties(values, names=["a", "b", "c"])
    plain = {
        frozenset((x, y)): theory.ttest_rel(values[:, i], values[:, j]).pvalue
        for (i, x), (j, y) in combinations(enumerate("abc"), 2)
    }
    order = sorted(plain, key=plain.get)
    holm = np.maximum.accumulate([min(1, plain[pair] * (3 - i)) for i, pair in enumerate(order)])
    expected = dict(zip(order, holm, strict=True))
    for better, worse, _, p in found.pairs:
        assert p == pytest.approx(expected[frozenset((better, worse))])
    assert found.names[0] == "c" and found.best == ("c",)


def test_where_lower_is_better_the_best_is_the_lowest_and_others_are_behind() -> None:
    costs = np.random.default_rng(1).normal(0, 0.1, (8, 3)) + np.array([5.0, 1.0, 3.0])
    found = ties(costs, names=["dear", "cheap", "middling"], higher_is_better=False)
    assert found.names == ("cheap", "middling", "dear") and found.sets == (("cheap",), ("middling",), ("dear",))
    assert (found.frame()["difference"] > 0).all() and (found.frame()["low"] > 0).all()


def test_equal_columns_are_told_apart_too_often_in_no_more_than_a_twentieth() -> None:
    rng = np.random.default_rng(7)
    wrong = sum(len(ties(rng.normal(size=(8, 4)), names=list("abcd")).sets) > 1 for _ in range(200))
    assert wrong <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_detectors_are_compared_over_strategies_not_seeds() -> None:
    rows = simulated.rows(seeds=3, detectors=("msp", "energy", "knn"))
    found = ask("tied_detectors", Results.of(rows))
    assert found.frame()["n"].drop_nulls().unique().to_list() == [12]
    one = Results.of(rows.filter(pl.col("strategy") == "baseline"))
    assert "8 OOD sets of one model" in " ".join(ask("tied_detectors", one).sentences())


def test_models_are_compared_over_seeds_where_there_are_some_else_over_items() -> None:
    rows = simulated.rows(seeds=6, detectors=("msp",))
    assert ask("tied_models", Results.of(rows)).frame()["n"].max() == 6
    single = simulated.rows(seeds=1, detectors=("msp",))
    found = ask("tied_models", Results.of(single, simulated.items(single, n=400)))
    assert found.frame()["n"].max() == 400
    assert "under-trained" not in found.frame().filter(pl.col("tied with the best") == "yes")["name"]


def test_few_seeds_are_said() -> None:
    rows = simulated.rows(seeds=2, detectors=("msp",))
    assert "only 2 seeds" in " ".join(ask("tied_models", Results.of(rows)).sentences())


# --- costs ------------------------------------------------------------------------------------------


def test_cost_at_the_best_threshold_is_that_of_a_search_over_all() -> None:
    rng = np.random.default_rng(0)
    known, sets, costs = rng.normal(size=80), [rng.normal(2, 1, 50), rng.normal(1, 1, 70)], Costs(0.2, 5, 2)

    def cost(t: float) -> float:
        missed = np.mean([(one <= t).mean() for one in sets])
        return 1000 * (0.2 * 5 * missed + 0.8 * 2 * (known > t).mean())

    places = np.concatenate([known, *sets])
    least = min(cost(t) for t in (*(places - 1e-9), *(places + 1e-9), -np.inf, np.inf))
    assert cost(best_threshold(known, sets, costs)) == pytest.approx(least)


@pytest.mark.parametrize("costs", [Costs(0.1, 1, 5), Costs(0.5, 10, 0.1)])
def test_a_detector_without_information_costs_as_much_as_none(costs: Costs) -> None:
    constant = held_out_cost(np.zeros(100), [np.zeros(100)], costs)
    assert constant == pytest.approx(min(costs.never, costs.always))


def test_the_threshold_is_judged_on_other_inputs_than_it_was_chosen_on() -> None:
    rng = np.random.default_rng(5)
    costs = Costs(0.5, 1, 1)
    noise = [held_out_cost(rng.normal(size=20), [rng.normal(size=20)], costs) for _ in range(200)]
    assert np.mean(noise) >= 500 - 2 * np.std(noise) / np.sqrt(200), "no better than no detector at all"


def test_infinite_scores_can_be_told_from_finite_ones() -> None:
    assert held_out_cost(np.zeros(4), [np.full(4, np.inf)], Costs(0.5, 1, 1)) == 0


def test_costs_of_a_study_come_from_its_scores_and_follow_rate_and_costs(tmp_path: Path) -> None:
    rows = simulated.rows(seeds=1, detectors=("msp", "energy"))
    results = Results.of(simulated.folder(tmp_path / "study", rows))
    found = ask("detector_cost", results)
    assert "chosen on half of the inputs" in " ".join(found.sentences())
    plain = dict(found.frame().select("name", "value").iter_rows())
    assert (plain["never an alarm"], plain["always an alarm"]) == (1000, 900)
    assert {"msp", "energy"} < set(plain)
    dear = ask("detector_cost", results, rate=0.01, miss=1.0, false_alarm=100.0)
    assert dear.sentences()[0].startswith("No detector pays here: never an alarm costs 10 per 1,000 inputs")


def test_rows_without_scores_know_one_threshold() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp",))
    found = ask("detector_cost", Results.of(rows), rate=0.2, miss=3.0)
    fnr = rows.filter(pl.col("metric") == "fpr_at_95_id", pl.col("part").is_null())["value"].mean()
    value = found.frame().filter(pl.col("name") == "msp")["value"].item()
    assert value == pytest.approx(1000 * (0.2 * 3 * fnr + 0.8 * 0.05))


@pytest.mark.parametrize(
    ("given", "says"), [({"rate": 1.2}, "share of OOD inputs from 0 to 1"), ({"miss": -1.0}, "miss")]
)
def test_costs_that_cannot_be_are_refused(given: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ask("detector_cost", Results.of(simulated.rows(seeds=1, detectors=("msp",))), **given)


def typed(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["outfield", *words])
        main()
    return int(end.value.code or 0)


def test_a_study_file_and_the_command_give_an_analysis_its_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {
        "name": "s",
        "models": [{"strategy": "baseline"}],
        "network": "small_cnn",
        "id": {"train": "digits", "val": "digits", "test": "digits"},
        "ood": [{"name": "letters", "category": "far", "source": "glyphs"}],
        "analyses": [{"name": "detector_cost", "rate": 0.5}],
    }
    assert Spec.parse(spec).analyses[0].params == {"rate": 0.5}
    with pytest.raises(UserError, match="no parameter 'rates'"):
        Spec.parse(spec | {"analyses": [{"name": "detector_cost", "rates": 0.5}]})
    rows = simulated.rows(seeds=1, detectors=("msp", "energy"))
    stated = Results(Results.of(rows).rows, {"study": {"analyses": [{"name": "detector_cost", "rate": 0.5}]}})
    assert "Of 1,000 inputs 500 are OOD" in " ".join(analyses.answer("detector_cost", stated).sentences())
    folder = simulated.folder(tmp_path / "study", rows)
    assert typed("analyse", str(folder), "--ask", "detector_cost: {rate: 0.25}") == 0
    assert "Of 1,000 inputs 250 are OOD" in " ".join(capsys.readouterr().out.split())
    assert typed("analyse", str(folder), "--ask", "detector_cost: {rates: 0.25}") == 2
    assert "no parameter 'rates'" in " ".join(capsys.readouterr().err.split())


# --- inputs that all models fail on -----------------------------------------------------------------


def test_planted_failures_are_found_and_counted_against_chance() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random((4, 500)) < 0.1
    wrong[:, [7, 11, 400]] = True
    found = shared_failures(wrong)
    assert set(found.rows) >= {7, 11, 400} and found.p < 1e-4
    assert found.expected == pytest.approx(500 * wrong.mean(axis=1).prod())
    assert sum(found.counts) == 500 and sum(found.expected_counts) == pytest.approx(500)


def test_independent_errors_are_no_finding() -> None:
    rng = np.random.default_rng(1)
    flagged = sum(shared_failures(rng.random((3, 300)) < 0.3).p < 0.05 for _ in range(200))
    assert flagged <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_the_items_have_their_ids_and_labels() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp",))
    models = rows["model"].unique().sort()
    items = pl.concat(
        pl.DataFrame({"model": name, "set": "test", "row": np.arange(100), "merit": (np.arange(100) != 42) * 1.0})
        for name in models
    )
    digits = {"name": "digits", "part": "test"}
    results = Results(Results.of(rows).rows, {"study": {"id": {"test": digits}}}, items=items)
    found = ask("shared_failures", results)
    labels = registry.create("sources", "digits", part="test").load()
    assert found.frame().rows() == [(42, 1.0, labels.classes[labels.labels[42]])]
    assert found.sentences()[0] == "All 12 models are wrong on 1 of 100 test items."


def test_merits_that_are_no_right_or_wrong_are_refused() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp",))
    items = simulated.items(rows).with_columns(merit=-pl.col("row").cast(pl.Float64))
    with pytest.raises(UserError, match="right or wrong"):
        ask("shared_failures", Results.of(rows, items))
    with pytest.raises(UserError, match="merit of each item"):
        ask("shared_failures", Results.of(rows))

"""Bad input is named, never passed over; every result draws and tables itself."""

import subprocess
import sys
from dataclasses import replace

import altair as alt
import numpy as np
import polars as pl
import pytest

from outfield import stats
from outfield.errors import UserError
from outfield.stats.frames import as_frame, select_rows
from outfield.types import Estimate

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 20))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stats.spearman(X, Y[:-1]), "equal length"),
        (lambda: stats.spearman(X[:3], Y[:3]), "at least 4"),
        (lambda: stats.spearman(X, np.ones(20)), "Expected y to vary, but got 1 in all 20"),
        (lambda: stats.spearman(X, list("a" * 20)), "Expected numbers as y"),
        (lambda: stats.spearman(X.reshape(4, 5), Y), "as a vector"),
        (lambda: stats.kendall(X[:4], Y[:4]), "at least 5"),
        (lambda: stats.accuracy_on_the_line(X, Y), "in [0, 1] or percent"),
        (lambda: stats.leave_one_family_out(X, Y, ["a"] * 3), "a family for each of 20"),
        (lambda: stats.anova(np.ones((4, 3, 2)), ("model", "d")), "that varies"),
        (lambda: stats.anova(RNG.normal(size=(4, 1, 2)), ("model", "d")), "two levels of each factor, but d"),
        (lambda: stats.anova(RNG.normal(size=(4, 3)), ("a", "b", "c", "d")), "Name each axis"),
        (lambda: stats.anova(np.full((3, 2, 2), np.nan), ("a", "b")), "12 are missing"),
        (lambda: stats.anova(pl.DataFrame({"a": [1]}), ["a"]), "Expected columns value, but the table has a"),
        (lambda: stats.anova(RNG.normal(size=(4, 3, 2)), ("model", "d"), response="sqrt"), "raw, logit"),
        (lambda: stats.anova(RNG.normal(size=(4, 3, 2)), ("model", "d"), interval="bcb"), "interval of jackknife"),
        (lambda: stats.friedman(X), "[blocks, treatments >= 2]"),
        (lambda: stats.friedman(np.full((5, 3), np.nan)), "complete blocks, but got 0"),
        (lambda: stats.friedman(RNG.normal(size=(5, 3)), names=["a"]), "Expected 3 names"),
        (lambda: stats.mean_ranks(np.full((5, 3), np.nan)), "15 missing"),
        (lambda: stats.mean_ranks(RNG.normal(size=(5, 3)), categories=["a"]), "category for each of 5"),
        (lambda: stats.recommend(RNG.normal(size=(5, 1, 3))), "1 OOD sets"),
        (lambda: stats.partial_correlation(X[:5], Y[:5], X[:5]), "at least 6"),
        (lambda: stats.partial_correlation(X, Y, np.repeat([0, 1], 10)), "five different values"),
        (lambda: stats.within_runs([X], [Y]), "at least two"),
        (lambda: stats.run_permutation_test([X] * 5, [Y] * 4 + [Y[:-1]]), "equal length"),
        (lambda: stats.circular_shift_test(X, Y), "at least 60 steps"),
        (lambda: stats.circular_shift_test(*RNG.normal(size=(2, 80)), steps=np.geomspace(1, 9, 80)), "equal steps"),
        (lambda: stats.circular_shift_test(np.arange(80) + RNG.normal(size=80), RNG.normal(size=80)), "has a trend"),
        (lambda: stats.errors_in_variables(X, Y, X + Y), "exactly one of"),
        (lambda: stats.errors_in_variables(X, Y, X + Y, correctness=np.ones((3, 9))), "One row a checkpoint"),
        (lambda: stats.reliability({"a": [0.1, 0.2]}, {}), "number of items of 'a'"),
        (lambda: stats.lind_mehlum(X[:5], Y[:5]), "at least 8"),
        (lambda: stats.lind_mehlum(np.repeat([0, 1], 10), Y), "three different values"),
        (lambda: stats.interrupted(X, Y, 99.0), "above 99"),
        (lambda: stats.heterogeneity([1.0, 2.0], [1.0, 0.0]), "positive errors"),
        (lambda: stats.agreement(np.ones((1, 3, 3)), 30), "models >= 2"),
        (lambda: stats.agreement(np.ones((2, 3, 3)), 4), "Add runs"),
        (lambda: stats.compare_aurocs({"a": (X, Y)}), "two detectors"),
        (lambda: stats.compare_aurocs({"a": (X, Y), "b": (X[:-1], Y)}), "same rows"),
        (lambda: stats.risk_coverage(X, [True]), "a score for each of 1"),
        (lambda: stats.power("models", 0.0), "other than 0"),
        (lambda: stats.power("seeds", 0.1), "Expected the sd"),
        (lambda: stats.power("grants", 0.1), "models, seeds"),
        (lambda: stats.stratum(pl.DataFrame({"f": [0, 1], "m": ["x", "x"], "value": [1, 2]}), "f", "m"), "in several"),
        (lambda: stats.panel(pl.DataFrame({"model": ["a"], "metric": ["ece"], "value": [0.1]})), "metric 'auroc'"),
        (lambda: as_frame("nowhere.csv"), "no file"),
        (lambda: as_frame(3), "Expected a table, but got int"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(call, says):
    with pytest.raises(UserError) as caught:
        call()
    assert says in str(caught.value)
    assert str(caught.value).startswith("Expected")


def test_missing_values_are_dropped_and_said():
    x = X.copy()
    x[3] = np.nan
    found = stats.spearman(x, Y, names=[f"m{i}" for i in range(20)])
    assert found.notes == ("Dropped 1 of 20 rows with a missing value (row 3).",)
    assert len(found.names) == 19 and "m3" not in found.names


def test_percent_and_clipping_are_said():
    found = stats.accuracy_on_the_line([60, 70, 80, 100], [0, 35, 40, 50])
    assert found.clipped == 2
    assert sum("percent" in note for note in found.notes) == 2 and "Moved 2 accuracies" in found.notes[-1]


def test_logit_of_auroc_is_clipped_at_half_a_trial():
    y = RNG.uniform(0.6, 1.0, (5, 3, 2))
    y[0, 0, 0] = 1.0
    found = stats.anova(y, ("model", "d"), response="logit", trials=400 * 300)
    assert found.notes == ("Clipped 1 values at 1 / (2 trials) for the logit.",)


@pytest.mark.parametrize("group", [None, [0, 0, 1, 1]])
def test_two_units_have_no_interval(group):
    values = RNG.normal(size=(2 if group is None else 4, 3, 2))
    found = stats.anova(values, ("model", "detector"), group=group)
    assert "eta2_low" not in found.table.columns
    assert found.notes == ("No intervals: too few units to leave one out.",)


def test_missing_cells_of_a_large_table_are_named():
    rows = pl.DataFrame(
        [(f"m{i}", f"d{j}", f"s{k}", float(RNG.normal())) for i in range(30) for j in range(10) for k in range(4)],
        schema=["model", "detector", "ood", "value"], orient="row",
    )[:-1]  # fmt: skip
    with pytest.raises(UserError, match="1 cells are empty, such as m29, d9, s3"):
        stats.anova(rows, ["model", "detector", "ood"])


def test_an_empty_cell_is_named_in_small_tables_too():
    rows = pl.DataFrame({"a": ["x", "x", "y"] * 3, "b": ["u", "v", "u"] * 3, "value": RNG.normal(size=9)})
    with pytest.raises(UserError, match="1 cells are empty, such as y, v"):
        stats.anova(rows, ["a", "b"])


def test_a_panel_leaves_out_what_misses_most_and_says_so():
    gaps = {(0, 3), (1, 3), (5, 0)}
    rows = pl.DataFrame(
        [(f"m{i}", f"d{j}", "auroc", 1.0 * i + j) for i in range(6) for j in range(4) if (i, j) not in gaps],
        schema=["model", "detector", "metric", "value"], orient="row",
    )  # fmt: skip
    found = stats.panel(rows)
    assert found.axes["detector"] == ("d0", "d1", "d2") and "m5" not in found.models
    assert found.notes[0] == "Left out detector 'd3': 2 of its cells are missing."


def test_only_test_rows_of_whole_sets_are_read():
    rows = pl.DataFrame({"role": ["test", "curve", "test"], "part": [None, None, "noise"], "metric": ["auroc"] * 3,
                         "value": [0.9, 0.8, 0.7]})  # fmt: skip
    assert select_rows(rows, "auroc")["value"].to_list() == [0.9]


SCORES, PAIR, SHARES = RNG.normal(size=(12, 4, 3)), RNG.normal(size=(2, 30)), RNG.uniform(0.4, 0.9, (2, 30))
NAMES, HALVES = [f"m{i}" for i in range(30)], ["a"] * 15 + ["b"] * 15
GROUPED = pl.DataFrame({"model": np.repeat(NAMES, 3), "family": np.repeat(HALVES, 3), "set": ["r", "s", "t"] * 30,
                        "value": RNG.normal(size=90)})  # fmt: skip
RESULTS = {
    "spearman": lambda: stats.spearman(*PAIR, names=NAMES),
    "leave_one_family_out": lambda: stats.leave_one_family_out(*PAIR, HALVES),
    "accuracy_on_the_line": lambda: stats.accuracy_on_the_line(*SHARES, names=NAMES),
    "anova": lambda: stats.anova(SCORES, ("model", "ood", "detector")),
    "variance_components": lambda: stats.variance_components(SCORES, ("model", "ood")),
    "friedman": lambda: stats.friedman(SCORES.mean(1)),
    "nemenyi": lambda: stats.nemenyi(SCORES.mean(1)),
    "conover": lambda: stats.conover(SCORES.mean(1)),
    "mean_ranks": lambda: stats.mean_ranks(SCORES),
    "plackett_luce": lambda: stats.plackett_luce(SCORES.mean(1), draws=20),
    "bradley_terry": lambda: stats.bradley_terry(SCORES.mean(1)),
    "recommend": lambda: stats.recommend(SCORES, draws=100),
    "partial_correlation": lambda: stats.partial_correlation(*PAIR, RNG.normal(size=30)),
    "partial_matrix": lambda: stats.partial_matrix(RNG.normal(size=(30, 4)), RNG.normal(size=30)),
    "run_permutation_test": lambda: stats.run_permutation_test(RNG.normal(size=(5, 20)), RNG.normal(size=(5, 20))),
    "circular_shift_test": lambda: stats.circular_shift_test(*np.random.default_rng(3).normal(size=(2, 80))),
    "errors_in_variables": lambda: stats.errors_in_variables(*PAIR, SHARES[0], items=150),
    "reliability": lambda: stats.reliability({"a": SHARES[0]}, {"a": 300}),
    "lind_mehlum": lambda: stats.lind_mehlum(*PAIR, families=HALVES),
    "two_lines": lambda: stats.two_lines(*PAIR),
    "interrupted": lambda: stats.interrupted(*PAIR, 0.0),
    "lowess": lambda: stats.lowess(*PAIR, draws=20),
    "heterogeneity": lambda: stats.heterogeneity(PAIR[0], np.full(30, 0.5)),
    "agreement": lambda: stats.agreement([np.corrcoef(RNG.normal(size=(3, 30))) for _ in range(4)], 30),
    "compare_aurocs": lambda: stats.compare_aurocs({"a": tuple(PAIR), "b": tuple(PAIR[::-1])}),
    "delong": lambda: stats.delong(*PAIR),
    "risk_coverage": lambda: stats.risk_coverage(PAIR[0], PAIR[1] > 0),
    "power": lambda: stats.power("models", 0.3),
    "variance_components, nested": lambda: stats.variance_components(GROUPED, ["model", "family"]),
    "repeated_measures": lambda: stats.repeated_measures(GROUPED, "family", "set", "model"),
    "difference_of_correlations": lambda: stats.difference_of_correlations(PAIR, SHARES),
    "effective_checkpoints": lambda: stats.effective_checkpoints(*PAIR),
    "cell_reliability": lambda: stats.cell_reliability(SHARES[0], np.full(30, 0.05)),
    "disattenuated_correlation": lambda: stats.disattenuated_correlation(*SHARES, errors=[np.full(30, 0.05), None]),
    "published_shares": lambda: stats.published_shares({"a": 0.5, "residual": 0.5}, {"a": 3}, 30),
    "published_correlation": lambda: stats.published_correlation(0.4, 30),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_says_its_level_and_tables_and_draws_itself(name):
    result = RESULTS[name]()
    assert isinstance(result, stats.Result)
    assert result.level in {"strategy", "model", "run", "sample", "block", "pooled"}
    assert result.n_units > 0 and result.correction
    assert result.frame().height > 0
    chart = result.plot()
    assert isinstance(chart, alt.TopLevelMixin)
    chart.to_dict()


def test_statistics_import_no_torch():
    code = "import sys, outfield.stats, outfield.stats._plots; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("factors", "fixed", "said"),
    [
        (["model"], ["model", "set"], "vary within model x set, but model does not"),
        (["one"], ["set"], "Expected several levels of one"),
        (["row"], ["set"], "one row a level"),
    ],
)
def test_components_that_cannot_be_told_apart_are_named(factors, fixed, said):
    rows = GROUPED.with_columns(one=pl.lit("x"), row=pl.int_range(pl.len()).cast(pl.String))
    with pytest.raises(UserError, match=said):
        stats.variance_components(rows, factors, fixed=fixed)


def test_components_of_too_many_levels_ask_for_a_complete_table():
    rows = pl.DataFrame({"model": np.arange(2402) // 2, "value": RNG.normal(size=2402)})
    with pytest.raises(UserError, match="at most 1,000 levels"):
        stats.variance_components(rows[:-1], ["model"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GROUPED.with_columns(family=pl.col("set")), "each model in one family"),
        (pl.concat([GROUPED, GROUPED[:1]]), "one row for each model and set"),
        (GROUPED.with_columns(family=pl.lit("a")), "two or more of family"),
        (GROUPED.filter(pl.col("set") == "r"), "two of set"),
    ],
)
def test_repeated_measures_that_are_none_are_told(rows, said):
    with pytest.raises(UserError, match=said):
        stats.repeated_measures(rows, "family", "set", "model")


def test_a_unit_without_all_conditions_is_left_out_and_counted():
    found = stats.repeated_measures(GROUPED[1:], "family", "set", "model")
    assert found.n_units == 29
    assert found.notes == ("Left out 1 of 30 models without all values of set.",)


def test_a_smooth_that_leaves_one_degree_of_freedom_gives_no_correlation():
    a, b, x = np.random.default_rng(3).normal(size=(3, 6))
    found = stats.partial_correlation(a, b, x)
    assert np.isnan(found.estimates["natural"].value) and np.isnan(found.p["natural"])
    assert all(abs(each.value) < 1 for kind, each in found.estimates.items() if kind != "natural")


def test_a_smoother_without_a_value_does_not_hide_that_signs_differ():
    found = stats.partial_correlation(*np.random.default_rng(3).normal(size=(3, 30)))
    values = {"plain": 0.5, "linear": np.nan, "rank": 0.5, "cubic": -0.5}
    assert replace(found, estimates={kind: Estimate(value) for kind, value in values.items()}).sign_differs


@pytest.mark.parametrize(("n", "least"), [(4, 2 / 24), (6, 2 / 720)])
def test_p_of_a_perfect_rank_correlation_is_no_less_than_permutations_allow(n, least):
    assert stats.spearman(np.arange(n), np.arange(n) ** 3).p == pytest.approx(least)


def test_a_straight_line_has_no_turn():
    with pytest.raises(UserError, match="off a straight line"):
        stats.lind_mehlum(X, 0.5 * X + 0.1)
    with pytest.raises(UserError, match="off a straight line"):
        stats.lind_mehlum(X, X)

"""Every statistic against a second opinion: scipy, statsmodels, scikit-posthocs, or a closed form."""

import warnings
from itertools import permutations
from math import factorial

import numpy as np
import pandas
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as theory
from scipy.interpolate import make_smoothing_spline
from sklearn.metrics import roc_auc_score
from statsmodels.stats.meta_analysis import combine_effects

from outfield import stats
from outfield.stats import intervals
from outfield.stats._closed_form import Cells, left_out, sums_of_squares, uniform
from outfield.stats.least_squares import least_squares
from outfield.stats.local_regression import lowess_curves
from outfield.stats.measurement_error import binomial_error, item_error
from outfield.stats.outliers import _biweight_line
from outfield.stats.reml import Reml
from outfield.stats.shape import _local_smooth
from outfield.stats.smooth import SMOOTHERS, natural, residuals, spline
from outfield.stats.units import resample_weights

few = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 10_000)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# --- relate ---


@few
@given(seeds, st.integers(6, 40), st.booleans())
def test_correlations_are_scipys(seed, n, ties):
    x, y = normal(seed, 2, n).round(1 if ties else 8)
    for ours, theirs in (
        (stats.spearman, theory.spearmanr),
        (stats.kendall, theory.kendalltau),
        (stats.pearson, theory.pearsonr),
    ):
        found, value = ours(x, y), theirs(x, y)
        assert [found.estimate.value, found.p] == pytest.approx([value.statistic, value.pvalue])


def test_fisher_interval_of_pearson_is_scipys():
    x, y = normal(1, 2, 30)
    low, high = theory.pearsonr(x, y).confidence_interval()
    found = stats.pearson(x, y).estimate
    assert (found.low, found.high) == pytest.approx((low, high))


def test_groups_are_averaged_before_they_are_correlated():
    x, y = normal(2, 2, 36)
    group = np.repeat(np.arange(12), 3)
    found = stats.spearman(x, y, groups=group)
    means = x.reshape(12, 3).mean(1), y.reshape(12, 3).mean(1)
    assert found.estimate.value == pytest.approx(theory.spearmanr(*means).statistic)
    assert (found.level, found.n_units, found.estimate.n) == ("strategy", 12, 12)
    pooled = stats.spearman(x, y, groups=group, pooled=True)
    assert (pooled.level, pooled.n_units, len(pooled.x)) == ("pooled", 12, 36)
    assert "not independent" in pooled.notes[0]


@few
@given(seeds)
def test_line_in_probit_scale_is_least_squares(seed):
    u = np.random.default_rng(seed).uniform(0.3, 0.9, 20)
    v = np.clip(u - 0.2 + 0.05 * normal(seed, 20), 0.01, 0.99)
    fit = sm.OLS(theory.norm.ppf(v), sm.add_constant(theory.norm.ppf(u))).fit()
    found = stats.accuracy_on_the_line(u, v)
    assert [found.intercept, found.slope.value, found.r2] == pytest.approx([*fit.params, fit.rsquared])
    assert [found.slope.low, found.slope.high] == pytest.approx(fit.conf_int()[1])


def test_bootstrap_is_scipys():
    found = intervals.bootstrap(np.mean, normal(3, 40), draws=500, kind="percentile")
    theirs = theory.bootstrap(
        (normal(3, 40),), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(0)
    )
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval))


@few
@given(seeds)
def test_bias_corrected_interval_is_scipys_bca(seed):
    x = np.random.default_rng(seed).exponential(size=25)
    theirs = theory.bootstrap((x,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(seed))
    left_out = (x.sum() - x) / 24
    found = intervals.resampled(x.mean(), theirs.bootstrap_distribution, jackknife=left_out, kind="bca")
    assert found == pytest.approx(np.array(theirs.confidence_interval), abs=2e-3)


def test_resampled_weights_draw_units_then_models():
    group = np.array([0, 0, 0, 1, 1, 2])
    weights = np.concatenate(list(resample_weights(group, 400, seed=0)))
    assert np.allclose(weights.sum(axis=2), 1)
    assert all(len(np.unique(group[np.flatnonzero(row)])) == 1 for row in weights[:20].reshape(-1, 6))
    chosen = (weights @ np.eye(6)[:, :1] > 0).mean() + (weights[..., 5] > 0).mean()
    assert (weights[..., 5] > 0).mean() == pytest.approx(1 / 3, abs=0.05)
    assert chosen > 0


# --- ANOVA ---


def as_rows(y: np.ndarray, names: str) -> pl.DataFrame:
    at = np.indices(y.shape).reshape(y.ndim, -1)
    return pl.DataFrame(
        {name: [f"{name}{i}" for i in row] for name, row in zip(names, at, strict=True)} | {"value": y.ravel()}
    )


@few
@given(seeds, st.integers(2, 4), st.integers(2, 4), st.integers(2, 3))
def test_closed_form_is_statsmodels(seed, a, b, r):
    rows = as_rows(normal(seed, a, b, 2, r), "abcr")
    found = stats.anova(rows, ["a", "b", "c"], interval="none")
    fit = sm.formula.ols("value ~ C(a, Sum) * C(b, Sum) * C(c, Sum)", rows.to_pandas()).fit()
    theirs = sm.stats.anova_lm(fit, typ=2)
    assert found.frame()["ss"][:7].to_list() == pytest.approx(theirs["sum_sq"][:7].to_list())
    assert found.frame()["p"][:7].to_list() == pytest.approx(theirs["PR(>F)"][:7].to_list())
    assert found.frame()["ss"][:8].sum() == pytest.approx(found.row("total")["ss"])


@few
@given(seeds)
def test_proportional_cells_are_closed_form_too(seed):
    rows = as_rows(normal(seed, 5, 3, 4), "mkr")
    keep = (pl.col("k") == "k0") | ((pl.col("k") == "k1") & (pl.col("r") != "r3")) | (pl.col("r") < "r1")
    rows = rows.filter(keep)
    found = stats.anova(rows, ["m", "k"], unit="m", interval="none")
    assert found.balanced
    theirs = sm.stats.anova_lm(sm.formula.ols("value ~ C(m, Sum) * C(k, Sum)", rows.to_pandas()).fit(), typ=2)
    assert found.frame()["ss"][:4].to_list() == pytest.approx(theirs["sum_sq"].to_list())


def test_unbalanced_and_small_goes_to_statsmodels():
    rows = as_rows(normal(4, 4, 3, 3), "abr")[:-2]
    found = stats.anova(rows, ["a", "b"])
    assert not found.balanced and "statsmodels" in found.notes[-1]
    theirs = sm.stats.anova_lm(sm.formula.ols("value ~ C(a, Sum) * C(b, Sum)", rows.to_pandas()).fit(), typ=2)
    assert found.frame()["ss"][:4].to_list() == pytest.approx(theirs["sum_sq"].to_list())


@pytest.mark.parametrize("group", [None, np.repeat(np.arange(5), 3)])
def test_jackknifed_and_resampled_shares_are_those_of_smaller_tables(group):
    """A share without one unit is the share of the table without it."""

    y = normal(5, 15, 4, 3, 2)
    ids = np.arange(15) if group is None else group
    cells = Cells(y.mean(-1), ((y - y.mean(-1, keepdims=True)) ** 2).sum(-1), uniform((4, 3)), 2)
    without, _ = left_out(cells, ids, units_are_levels=True)
    found = sums_of_squares(without)
    keep = ids != 1
    rest = stats.anova(y[keep], ("model", "b", "c"), group=None if group is None else ids[keep], interval="none")
    assert found[(0, 1)][1] == pytest.approx(rest.row("model:b")["ss"])
    assert found[(1, 2)][1] == pytest.approx(rest.row("b:c")["ss"])
    assert float(np.asarray(without.within)[1]) == pytest.approx(rest.row("residual")["ss"])


def test_units_in_families_are_left_out_one_by_one_as_by_hand():
    """Five units in families of 1, 2 and 2: the means of the others, families with the weights that they had."""
    values, families = normal(44, 5, 3), np.array([0, 1, 1, 2, 2])
    cells = Cells(values, normal(45, 5, 3) ** 2, uniform((3,)), 1.0)
    design, strata = left_out(cells, families, units_are_levels=False)
    assert strata.tolist() == [1, 1, 2, 2]
    for row, out in enumerate(range(1, 5)):
        mix = np.array([(families == family) & (np.arange(5) != out) for family in range(3)], float)
        by_hand = cells.mixed((mix / mix.sum(1, keepdims=True))[None], np.array([[0.2, 0.4, 0.4]]), 4)
        assert design.mean[row] == pytest.approx(by_hand.mean[0])
        assert np.asarray(design.within)[row] == pytest.approx(np.asarray(by_hand.within)[0])


def test_array_and_frame_agree():
    y = normal(6, 6, 4, 3)
    by_array = stats.anova(y, ("model", "d"))
    by_frame = stats.anova(as_rows(y, "mdr").rename({"m": "model"}), ("model", "d"))
    assert by_array.frame().drop("term").rows()[:3] == [
        pytest.approx(row) for row in by_frame.frame().drop("term").rows()[:3]
    ]


def test_variance_components_are_expected_mean_squares_and_mixedlm():
    y = normal(7, 30, 1, 1) * 1.5 + normal(8, 30, 1, 4)
    closed = stats.variance_components(y[:, 0], ("model",)).frame()["variance"].to_list()
    rows = as_rows(y[:, 0], "mr").rename({"m": "model"})
    fit = sm.MixedLM.from_formula("value ~ 1", rows.to_pandas(), groups="model").fit(reml=True)
    assert closed == pytest.approx([float(fit.cov_re.iloc[0, 0]), fit.scale], rel=1e-3)
    unbalanced = stats.variance_components(rows[:-2], ["model"])
    fit = sm.MixedLM.from_formula("value ~ 1", rows[:-2].to_pandas(), groups="model").fit(reml=True)
    assert unbalanced.method == "REML"
    assert unbalanced.frame()["variance"].to_list() == pytest.approx(
        [float(fit.cov_re.iloc[0, 0]), fit.scale], rel=1e-3
    )
    assert unbalanced.log_likelihood == pytest.approx(fit.llf)


def components(found: stats.Result) -> dict[str, float]:
    return dict(found.frame().select("component", "variance").rows())


def nested_rows() -> pl.DataFrame:
    """Twelve models in three categories on four benchmarks, two repeats, without the last three rows."""
    category, model, bench = normal(21, 3) * 2, normal(22, 12), normal(23, 4) * 3
    at = np.stack(np.meshgrid(range(12), range(4), range(2), indexing="ij")).reshape(3, -1)
    y = category[at[0] % 3] + model[at[0]] + bench[at[1]] + 2 * normal(24, 3, 4)[at[0] % 3, at[1]]
    y += 1.5 * normal(20, 12, 4)[at[0], at[1]] + normal(25, 96)
    names = {"model": at[0], "bench": at[1], "category": at[0] % 3, "value": y}
    return pl.DataFrame(names)[:-3]


def test_nested_and_crossed_components_are_mixedlms():
    """Category within bench and model: MixedLM with a variance-component formula for every term."""
    rows = nested_rows()
    found = stats.variance_components(rows, ["model", "bench", "category"])
    columns = rows.with_columns(
        one=pl.lit(1), both=pl.format("{} {}", "model", "bench"), within=pl.format("{} {}", "category", "bench")
    ).to_pandas()
    parts = {"model": "model", "bench": "bench", "category": "category", "both": "both", "within": "within"}
    formulae = {name: f"0 + C({column})" for name, column in parts.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.MixedLM.from_formula(
            "value ~ 1", columns, groups="one", re_formula="0", vc_formula=formulae
        ).fit(reml=True)  # fmt: skip
    theirs = dict(zip(sorted(parts), fit.vcomp, strict=True))
    named = {"model": "model", "bench": "bench", "category": "category", "model x bench": "both",
             "bench x category": "within"}  # fmt: skip
    ours = components(found)
    assert set(ours) == {*named, "residual"}
    assert found.log_likelihood == pytest.approx(fit.llf, abs=1e-4)
    assert [ours[name] for name in named] == pytest.approx([theirs[each] for each in named.values()], rel=0.01)


def test_balanced_components_by_both_ways_agree():
    rows = as_rows(normal(26, 8, 1, 1) * 2 + normal(27, 1, 5, 1) + normal(28, 8, 5, 1) + normal(29, 8, 5, 3), "abr")
    closed, model = stats.variance_components(rows, ["a", "b"]), rows.with_columns(c=pl.lit("x"))
    restricted = stats.variance_components(model, ["a", "b"], fixed=["c"])
    assert (closed.method, restricted.method) == ("expected mean squares", "REML")
    assert components(restricted) == pytest.approx(components(closed), rel=1e-3)


def test_profile_interval_is_where_the_likelihood_falls_by_1_92():
    group = np.repeat(range(12), 4)
    model = Reml(normal(30, 12)[group] + normal(31, 48), np.zeros(48, int), (group,))
    for which in (0, 1):
        for end in model.interval(which):
            others = optimize.minimize_scalar(
                lambda log, which=which, end=end: model.deviance(np.insert([np.exp(log)], which, end)),
                bounds=(-8, 5), method="bounded",
            )  # fmt: skip
            assert others.fun + 2 * model.log_likelihood == pytest.approx(theory.chi2.ppf(0.95, 1), abs=1e-2)


def test_a_component_of_nothing_is_0_where_mixedlm_stops_short():
    rows = as_rows(normal(32, 10, 4), "mr").with_columns(value=pl.col("value") - pl.col("value").mean().over("m"))
    found = stats.variance_components(rows[:-1], ["m"]).frame().row(0, named=True)
    assert found["variance"] == found["low"] == 0 < found["high"]


def test_repeated_measures_are_the_nested_analysis_by_least_squares():
    """Every F by statsmodels: errors are unit within group, and condition x unit within group."""
    rows = as_rows(normal(33, 11, 4), "us").with_columns(g=pl.col("u").str.tail(1).cast(pl.Int64) % 3)
    found = stats.repeated_measures(rows, "g", "s", "u")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            sm.formula.ols(f"value ~ {formula}", rows.to_pandas()).fit().ssr
            for formula in ("1", "C(g)", "C(u)", "C(u) + C(s)", "C(u) + C(g):C(s)")
        ]
    between, units, conditions, both = -np.diff(fits)
    table = found.frame()
    assert table["ss"].to_list() == pytest.approx([between, units, conditions, both, fits[-1]])
    assert table["df"].to_list() == [2, 8, 3, 6, 24]
    f = (both / 6) / (fits[-1] / 24)
    assert [found.row("g x s")["f"], found.row("g x s")["p"]] == pytest.approx([f, theory.f.sf(f, 6, 24)])
    assert found.row("g")["f"] == pytest.approx(stats.stratum(rows, "g", "u").f)
    assert 1 / 3 < found.epsilon <= 1


def test_epsilon_is_1_where_conditions_are_alike_and_falls_where_two_go_together():
    values = normal(34, 400, 4)
    bound = values + 5 * normal(35, 400, 1) * np.array([1.0, 1, 0, 0])
    rows = [as_rows(each, "us").with_columns(g=pl.col("u").str.tail(1).cast(pl.Int64) % 2) for each in (values, bound)]
    alike, together = (stats.repeated_measures(each, "g", "s", "u").epsilon for each in rows)
    assert alike > 0.95 and together < 0.5


def test_stratum_is_one_way_anova_of_unit_means():
    rows = as_rows(normal(9, 12, 5), "mr").with_columns(f=pl.col("m").str.tail(1).cast(pl.Int64) % 3)
    found = stats.stratum(rows, "f", "m")
    means = rows.group_by("m", "f").agg(pl.col("value").mean())
    f, p = theory.f_oneway(*(part["value"].to_numpy() for part in means.partition_by("f")))
    assert [found.f, found.p, found.df_error] == pytest.approx([f, p, 9])


def test_noncentral_f_interval_inverts_the_distribution():
    low, high = intervals.noncentral_f(6.0, 3, 40)
    assert [theory.ncf.cdf(6.0, 3, 40, nc) for nc in (low, high)] == pytest.approx([0.975, 0.025], abs=1e-6)


def test_jackknife_of_a_mean_is_students_interval():
    x = normal(10, 25)
    found = intervals.jackknife(x.mean(), (x.sum() - x) / 24)
    assert found == pytest.approx(np.array(theory.t.interval(0.95, 24, x.mean(), theory.sem(x))))


# --- ranks ---


@few
@given(seeds, st.integers(3, 6), st.integers(4, 12), st.booleans())
def test_friedman_and_post_hoc_are_scipy_and_scikit_posthocs(seed, k, n, ties):
    posthocs = pytest.importorskip("scikit_posthocs")
    scores = normal(seed, n, k).round(1 if ties else 8)
    found = stats.friedman(scores)
    theirs = theory.friedmanchisquare(*scores.T)
    assert [found.chi2, found.p_chi2] == pytest.approx([theirs.statistic, theirs.pvalue])
    assert found.w == pytest.approx(found.chi2 / (n * (k - 1)))
    nemenyi = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    assert stats.nemenyi(scores).p == pytest.approx(nemenyi, abs=2e-3)


def test_conover_is_the_textbooks():
    scores = normal(11, 10, 4)
    rank = theory.rankdata(-scores, axis=1)
    sums, n, k = rank.sum(0), 10, 4
    spread = np.sqrt(
        2 * n * (n * k * (k + 1) ** 2 / 4 * 0 + (rank**2).sum() - (sums**2).sum() / n) / ((n - 1) * (k - 1))
    )
    i, j = np.triu_indices(k, 1)
    raw = 2 * theory.t.sf(np.abs(sums[i] - sums[j]) / spread, (n - 1) * (k - 1))
    found = stats.conover(scores)
    assert found.p[i, j] == pytest.approx(sm.stats.multipletests(raw, method="holm")[1])
    assert found.correction == "Holm over 6 pairs"


def test_two_treatments_make_the_sign_test():
    scores = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 1]], dtype=float)
    assert stats.friedman(scores).chi2 == pytest.approx((3 - 1) ** 2 / 4)


def test_critical_difference_is_demsars():
    assert stats.critical_difference(10, 30) == pytest.approx(3.164 * np.sqrt(10 * 11 / (6 * 30)), abs=2e-3)


def test_plackett_luce_is_the_maximum_of_its_likelihood():
    scores = normal(12, 30, 4) + np.array([1.0, 0.5, 0.0, -0.5])
    orders = np.argsort(-scores, axis=1)

    def loss(theta: np.ndarray) -> float:
        ordered = theta[orders]
        tail = np.logaddexp.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
        return float((tail - ordered).sum())

    best = optimize.minimize(loss, np.zeros(4), tol=1e-12).x
    worth = np.exp(best - best.max()) / np.exp(best - best.max()).sum()
    found = stats.plackett_luce(scores, names=list("abcd")).frame().sort("name")["worth"].to_numpy()
    assert found == pytest.approx(worth, abs=1e-4)


def test_bradley_terry_is_a_logistic_regression():
    scores = normal(13, 25, 3) + np.array([0.6, 0.2, 0.0])
    design, won = [], []
    for row in scores:
        for i, j in ((0, 1), (0, 2), (1, 2)):
            line = np.zeros(3)
            line[i], line[j] = 1, -1
            design.append(line[:2])
            won.append(row[i] > row[j])
    fit = sm.Logit(np.array(won, float), np.array(design)).fit(disp=0)
    worth = np.exp([*fit.params, 0.0])
    found = stats.bradley_terry(scores, names=list("abc")).frame().sort("name")["worth"].to_numpy()
    assert found == pytest.approx(worth / worth.sum(), abs=1e-5)


def test_a_winner_of_everything_gets_a_pseudo_count():
    found = stats.plackett_luce(np.array([[3.0, 2, 1], [3, 1, 2]]), names=list("abc"))
    assert found.names[0] == "a" and "pseudo" in found.notes[-1]
    assert np.isfinite(found.frame()["worth"].to_numpy()).all()


def test_mean_ranks_average_over_sets_then_seeds_then_strategies():
    scores = normal(14, 6, 5, 3)
    group = [0, 0, 0, 1, 1, 2]
    rank = theory.rankdata(-scores, axis=2).mean(axis=1)
    expected = np.stack([rank[:3].mean(0), rank[3:5].mean(0), rank[5]]).mean(0)
    found = stats.mean_ranks(scores, group=group, names=list("abc"))
    assert found.frame().sort("name")["mean_rank"].to_numpy() == pytest.approx(expected)
    assert (found.level, found.n_units) == ("strategy", 3)
    weighted = stats.mean_ranks(scores, names=list("abc"), categories=list("xxxxyy"))
    halves = (rank[:4].mean(0) + rank[4:].mean(0)) / 2
    assert weighted.frame().sort("name")["mean_rank"].to_numpy() == pytest.approx(halves)


def test_recommendation_is_judged_on_sets_it_was_not_chosen_on():
    rank = np.array([[1.0, 2, 3], [2, 1, 3], [3, 1, 2]])
    values = np.repeat(-rank[None], 6, axis=0) + 1e-3 * normal(15, 6, 3, 3)
    found = stats.recommend(values, detectors=list("abc"), sets=list("xyz"))
    worst = rank.max(axis=0)
    assert found.best == "abc"[int(worst.argmin())] == "b"
    assert found.chosen == {"x": "b", "y": "b", "z": "a and b"}, "without z both have 2 at worst"
    held_out = np.mean([rank[0, 1], rank[1, 1], rank[2, :2].mean()])
    assert found.held_out.value == pytest.approx(held_out)
    assert found.optimism.value == pytest.approx(held_out - rank[:, 1].mean())
    assert found.worst_set == {"a": "z", "b": "x", "c": "x and y"}
    assert {k: e.value for k, e in found.mean_value.items()} == pytest.approx(
        dict(zip("abc", values.mean((0, 1)), strict=True))
    )


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_detectors_that_tie_exactly_are_chosen_together_whatever_their_order(order):
    values = 0.5 + 0.1 * normal(15, 8, 4, 3)
    values[:, :, 1] = values[:, :, 0]
    values[:, :, 2] -= 1
    found = stats.recommend(values[:, :, order], detectors=["abc"[i] for i in order], draws=200)
    assert set(found.safest) == set(found.best_by_mean) == {"a", "b"}
    assert set(found.chosen["set 0"].split(" and ")) == {"a", "b"}
    assert found.stability == 1.0
    assert found.held_out_value.value == pytest.approx(values[:, :, 0].mean())


def test_the_best_mean_of_a_measure_that_is_lower_when_better_is_the_lowest():
    values = np.abs(normal(16, 6, 3, 2)) * 0.01 + [0.5, 0.1]
    assert stats.recommend(values, detectors=["a", "b"], higher_is_better=False, draws=50).best_by_mean == ("b",)


def test_detectors_that_tie_are_named_together():
    values = np.repeat(normal(3, 6, 3, 1), 3, axis=2)
    values[..., 2] -= 5
    found = stats.recommend(values, detectors=["b", "a", "c"], sets=list("xyz"))
    assert (found.safest, found.best, found.stability) == (("a", "b"), "a", 1.0)
    assert set(found.chosen.values()) == {"a and b"}


# --- partial ---


@few
@given(seeds, st.integers(12, 50))
def test_linear_partial_is_the_textbook_formula(seed, n):
    a, b, x = normal(seed, 3, n) + normal(seed + 1, 1, n)
    r = np.corrcoef([a, b, x])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    found = stats.partial_correlation(a, b, x)
    assert found.estimates["linear"].value == pytest.approx(expected)
    assert found.estimates["plain"].value == pytest.approx(r[0, 1])
    ranks = np.corrcoef(theory.rankdata([a, b, x], axis=1))
    expected = (ranks[0, 1] - ranks[0, 2] * ranks[1, 2]) / np.sqrt((1 - ranks[0, 2] ** 2) * (1 - ranks[1, 2] ** 2))
    assert found.estimates["rank"].value == pytest.approx(expected)


def test_partial_p_is_that_of_a_regression():
    a, b, x = normal(16, 3, 40)
    fit = sm.OLS(a, sm.add_constant(np.stack([b, x], 1))).fit()
    assert stats.partial_correlation(a, b, x).p["linear"] == pytest.approx(fit.pvalues[1])


@pytest.mark.parametrize(
    ("smoother", "formula"), [("cubic", "y ~ x + I(x**2) + I(x**3)"), ("natural", "y ~ cr(x, df=5) - 1")]
)
def test_cubic_and_natural_partials_are_regressions_by_formula(smoother, formula):
    x, a, b = normal(41, 3, 40)
    left = [sm.formula.ols(formula, pandas.DataFrame({"x": x, "y": y})).fit().resid for y in (a, b)]
    found = stats.partial_correlation(100 * a, b, 7 * x - 3).estimates[smoother]
    value = np.corrcoef(*left)[0, 1]
    spent = 3 if smoother == "cubic" else 4
    assert [found.value, found.low] == pytest.approx([value, intervals.fisher(value, (40 - 3 - spent) ** -0.5)[0]])


def test_a_natural_spline_is_straight_beyond_its_ends():
    """The second derivative at the outer knots is 0, as R's ns() and mgcv's cr have it."""
    x = np.linspace(0, 1, 2001)
    fitted = natural(x, np.exp(3 * x)).values
    bend = np.diff(fitted, 2) / np.diff(x)[0] ** 2
    assert max(abs(bend[0]), abs(bend[-1])) < 0.05 * np.abs(bend).max()


def test_the_smooth_of_two_lines_is_a_cubic_regression_spline():
    x, y = np.sort(normal(42, 30)), normal(43, 30)
    fit = sm.formula.ols("y ~ cr(x, df=5) - 1", pandas.DataFrame({"x": x, "y": y})).fit()
    fitted, error = _local_smooth(x, y)
    assert fitted == pytest.approx(fit.fittedvalues.to_numpy())
    assert error == pytest.approx(fit.get_prediction().se_mean)


def test_spline_averages_ties_with_their_counts_as_weights():
    x = np.repeat(np.linspace(0, 1, 12), 3)
    y = x**2 + 0.1 * normal(17, 36)
    fitted = spline(x, y).values
    assert np.allclose(fitted.reshape(12, 3).std(axis=1), 0)
    assert spline(100 * x + 7, y).values == pytest.approx(fitted, abs=1e-8)
    assert abs(np.corrcoef(residuals(y, x, "spline"), x)[0, 1]) < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_spline_has_the_least_cross_validation_error_of_scipys(seed):
    """Of SciPy's splines with half of the degrees of freedom left, by the trace of their hat matrices."""
    x, noise = np.sort(normal(seed, 30)), normal(seed + 100, 30)
    y = np.sin(3 * x) + 0.3 * noise

    def hat(log_penalty):
        return make_smoothing_spline(x, np.eye(30), lam=10**log_penalty)(x)

    def error(log_penalty):
        smooth = hat(log_penalty)
        free = 1 - np.trace(smooth) / 30
        return ((y - smooth @ y) ** 2).mean() / free**2 if free >= 0.5 else np.inf

    penalties = np.arange(-8, 7, 0.25)
    near = min(penalties, key=error)
    best = optimize.minimize_scalar(error, bounds=(near - 0.25, near + 0.25), method="bounded").x
    assert spline(x, y).values == pytest.approx(hat(best) @ y, abs=1e-4)


def test_spline_follows_a_curve_through_thousands_of_points():
    x = np.random.default_rng(3).random(5000)
    assert np.abs(spline(x, np.sin(6 * x) + 0.3 * normal(4, 5000)).values - np.sin(6 * x)).mean() < 0.02
    assert spline(x, 2 * x + 1).values == pytest.approx(2 * x + 1, abs=2e-3)


def test_a_spline_over_skewed_values_takes_their_bend_out():
    """Of more values than knots, whose range is no measure of them: both follow their logarithm, and nothing else."""
    rng = np.random.default_rng(2)
    x = np.exp(rng.normal(size=2000))
    a, b = np.log(x) + 0.3 * rng.normal(size=(2, 2000))
    assert abs(stats.partial_correlation(a, b, x).estimates["spline"].value) < 0.1


def test_a_spline_pays_for_its_degrees_of_freedom():
    """Its interval is Fisher's of that many fewer units."""
    x, b = np.linspace(0, 1, 30), normal(6, 30)
    a = np.sin(6 * x) + 0.3 * normal(5, 30)
    spent = max(spline(x, a).freedom, spline(x, b).freedom) - 1
    found = stats.partial_correlation(a, b, x).estimates["spline"]
    assert 2 < spent < 15
    half = theory.norm.ppf(0.975) / np.sqrt(30 - 3 - spent)
    assert np.arctanh([found.low, found.high]) == pytest.approx(np.arctanh(found.value) + np.array([-half, half]))


@pytest.mark.parametrize("smoother", SMOOTHERS)
def test_what_a_smooth_leaves_nothing_of_has_no_correlation(smoother):
    x, b = normal(7, 2, 40)
    found = stats.partial_correlation(2 * x + 1, b, x)
    assert np.isnan(found.estimates[smoother].value) and np.isnan(found.p[smoother])
    assert np.isnan(stats.partial_matrix(np.stack([2 * x + 1, b], 1), x, smoother=smoother).values[0, 1])


def test_run_permutation_is_exhaustive_and_exact():
    left, right = normal(18, 5, 30), normal(19, 5, 30)
    z = np.arctanh([[np.corrcoef(a, b)[0, 1] for b in right] for a in left])
    means = [z[range(5), order].mean() for order in permutations(range(5))]
    away = np.abs(np.array(means) - z.mean())
    found = stats.run_permutation_test(left, right)
    assert found.p == pytest.approx((away >= away[0] - 1e-12).mean())
    assert (found.permutations, found.p_smallest) == (120, pytest.approx(1 / factorial(5)))
    assert found.estimate.value == pytest.approx(np.tanh(np.diag(z).mean()))


def test_few_runs_give_an_interval_and_no_p():
    found = stats.run_permutation_test(normal(20, 4, 30), normal(21, 4, 30))
    assert np.isnan(found.p) and np.isfinite(found.estimate.low) and "No p" in found.notes[-1]


def test_within_runs_never_pools_raw_points():
    """Runs at different levels correlate across runs, not within: the pooled correlation would be near 1."""
    level = 10 * np.arange(6)[:, None]
    a, b = level + normal(22, 6, 40), level + normal(23, 6, 40)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert abs(stats.within_runs(a, b).estimate.value) < 0.3


def test_item_error_is_the_trace_formula():
    table = (np.random.default_rng(24).random((7, 90)) < 0.6).astype(float)
    centring = np.eye(7) - 1 / 7
    covariance = np.cov(table) / 90
    assert item_error(table) == pytest.approx(np.trace(centring @ covariance @ centring) / 6)


def test_binomial_error_over_subtracts_along_a_trajectory():
    rng = np.random.default_rng(25)
    difficulty, skill = rng.normal(size=400), np.linspace(0, 1.5, 40)
    noise = rng.logistic(size=400)
    table = (skill[:, None] - 1.5 * difficulty + noise + 0.3 * rng.logistic(size=(40, 400)) > 0).astype(float)
    assert binomial_error(table.mean(1), 400) > 1.5 * item_error(table)


@pytest.mark.parametrize(("items", "fake"), [(50, 0.91), (1000, 0.43), (10_000, 0.07)])
def test_noise_of_the_id_accuracy_fakes_partial_correlation(items, fake):
    """Accuracies that follow the true ID accuracy (sd .09) and nothing else: the true partial correlation is 0."""
    rng = np.random.default_rng(26)
    true = np.clip(0.7 + 0.09 * rng.normal(size=400_000), 0, 1)
    seen = rng.binomial(items, true) / items
    a, b = (true + 0.0167 * rng.normal(size=400_000) for _ in range(2))
    found = stats.errors_in_variables(a, b, seen, items=items)
    assert found.raw == pytest.approx(fake, abs=0.04)
    assert abs(found.corrected.value) < 0.2


def test_noise_as_large_as_the_variance_is_not_identifiable():
    rng = np.random.default_rng(27)
    seen = rng.binomial(50, 0.7, 100) / 50
    found = stats.errors_in_variables(rng.normal(size=100), rng.normal(size=100), seen, error_variance=1.0)
    assert not found.identifiable and np.isnan(found.corrected.value) and "Not identifiable" in found.notes[-1]


# --- shape ---


def test_lind_mehlum_is_a_regression_with_hc3():
    x, e = normal(28, 2, 50)
    y = x**2 + 0.3 * e
    found = stats.lind_mehlum(x, y)
    fit = sm.OLS(y, np.stack([np.ones(50), x, x**2], 1)).fit(cov_type="HC3")
    assert found.quadratic.value == pytest.approx(fit.params[2])
    weights = np.array([0, 1, 2 * x.max()])
    assert found.slope_high.value == pytest.approx(weights @ fit.params)
    error = np.sqrt(weights @ fit.cov_params() @ weights)
    assert (found.slope_high.high - found.slope_high.low) / 2 == pytest.approx(theory.t.ppf(0.975, 47) * error)
    assert found.turn.value == pytest.approx(-fit.params[1] / (2 * fit.params[2]))
    assert found.turn.low < 0 < found.turn.high


@few
@given(seeds, st.integers(8, 60))
def test_coefficients_and_their_errors_are_statsmodels(seed, n):
    design = np.column_stack([np.ones(n), normal(seed, n, 2)])
    y = normal(seed + 1, n) * (1 + design[:, 1] ** 2)
    ours, theirs = least_squares(design, y), sm.OLS(y, design).fit(cov_type="HC3", use_t=True)
    assert np.allclose(ours.params, theirs.params)
    assert np.allclose(ours.robust, theirs.cov_params())
    assert np.allclose(ours.t, theirs.tvalues)
    assert np.allclose(ours.fit_errors, sm.OLS(y, design).fit().get_prediction().se_mean)


@few
@given(seeds, st.integers(20, 80))
def test_the_robust_line_is_statsmodels(seed, n):
    x = normal(seed, n)
    y = x + 0.3 * normal(seed + 1, n)
    y[: n // 10] += 9
    theirs = sm.RLM(y, sm.add_constant(x), M=sm.robust.norms.TukeyBiweight()).fit(tol=1e-12, maxiter=200)
    residuals, scale = _biweight_line(y, x)
    assert np.allclose(residuals, theirs.resid, atol=1e-4)
    assert np.isclose(scale, theirs.scale, rtol=1e-3)


def bent(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    x = {"even": rng.uniform(size=n), "tied": rng.integers(9, size=n) / 8, "skewed": rng.lognormal(size=n)}[kind]
    return x, np.sin(4 * x / x.max()) + 0.2 * rng.standard_t(3, size=n)


def statsmodels_lowess(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return sm.nonparametric.lowess(y, x, frac=2 / 3, it=1, xvals=grid)


@pytest.mark.parametrize("kind", ["even", "tied", "skewed"])
@pytest.mark.parametrize(("n", "off"), [(12, 1e-6), (40, 1e-6), (150, 0.003), (900, 0.005)])
def test_lowess_is_statsmodels(kind, n, off):
    """Exactly where every point is a fit of its own; beyond, within a part of the standard deviation."""
    x, y = bent(kind, n)
    grid = np.linspace(x.min(), x.max(), 60)
    ours = lowess_curves(x, y, np.arange(n)[None], grid)[0]
    assert np.abs(ours - statsmodels_lowess(x, y, grid)).max() < off * y.std()


@pytest.mark.parametrize("kind", ["even", "skewed"])
@pytest.mark.parametrize("n", [30, 300])
def test_the_band_of_a_smooth_is_statsmodels_of_the_same_resamples(kind, n):
    x, y = bent(kind, n)
    found = stats.lowess(x, y, draws=40)
    rows = np.random.default_rng(0).integers(n, size=(40, n))
    drawn = [statsmodels_lowess(x[row], y[row], found.grid) for row in rows]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    assert np.abs(found.low - low).max() < 0.03 * y.std()
    assert np.abs(found.high - high).max() < 0.03 * y.std()


def test_interrupted_regression_is_two_lines_apart():
    x, e = normal(29, 2, 60)
    y = np.where(x <= 0, x, -2 * x) + 0.1 * e
    found = stats.interrupted(x, y, 0.0)
    low = x <= 0
    assert found.below.value == pytest.approx(theory.linregress(x[low], y[low]).slope)
    assert found.above.value == pytest.approx(theory.linregress(x[~low], y[~low]).slope)
    ends = [theory.linregress(x[side], y[side]).intercept for side in (low, ~low)]
    assert found.jump.value == pytest.approx(ends[1] - ends[0])
    curve = found._curve()
    assert curve is not None and curve[1, 1] == pytest.approx(ends[0] + found.below.value * x[low].max())


def test_shapes_are_repeated_without_each_family():
    x = np.linspace(0, 1, 40)
    families = ["a"] * 20 + ["b"] * 20
    y = -((x - 0.5) ** 2) + 0.01 * normal(30, 40)
    found = stats.two_lines(x, y, families=families)
    assert found.shape == "inverse U" and set(found.without) == {"a", "b"}
    assert found.without["a"].shape == "unclear"
    assert found.frame()["left_out"].to_list() == ["none", "a", "b"]


# --- agreement, AUROC, selective, power ---


@few
@given(seeds, st.integers(3, 12))
def test_heterogeneity_is_statsmodels(seed, k):
    y, se = np.arange(k) + normal(seed, k) / 4, 0.1 + np.random.default_rng(seed).random(k) / 5
    theirs = combine_effects(y, se**2, method_re="dl")
    found = stats.heterogeneity(y, se)
    assert [found.q, found.df] == pytest.approx([theirs.q, k - 1])
    assert found.mean.value == pytest.approx(theirs.mean_effect_re)
    assert found.i2.value == pytest.approx(max(0, theirs.i2))


def test_agreement_of_many_sees_a_shared_pattern():
    shared = normal(31, 1, 200)
    same = [np.corrcoef(shared + 0.7 * normal(32 + i, 3, 200)) for i in range(6)]
    found = stats.agreement(same, 200, names=list("abc"))
    assert found.positive.value == 1 and found.leading.min() > 0.6
    flipped = [np.corrcoef(np.array([1, 1, sign])[:, None] * (shared + 0.7 * normal(50 + i, 3, 200)))
               for i, sign in enumerate([1, -1] * 3)]  # fmt: skip
    table = stats.agreement(flipped, 200, names=list("abc")).frame()
    mixed = table.filter(pl.col("second") == "c")
    assert (mixed["p"] < 0.001).all() and (mixed["i2"] > 0.9).all()


@few
@given(seeds, st.booleans())
def test_auroc_is_sklearns_and_delongs_pairs_are_a_jackknife(seed, ties):
    known, ood = normal(seed, 30).round(1 if ties else 8), (normal(seed + 1, 25) + 0.8).round(1 if ties else 8)
    truth = np.repeat([0, 1], [30, 25])
    found = stats.delong(known, ood).estimate
    assert found.value == pytest.approx(roc_auc_score(truth, np.concatenate([known, ood])))


def test_paired_aurocs_are_the_delong_test():
    rng = np.random.default_rng(33)
    base = rng.normal(size=60), 1 + rng.normal(size=70)
    scores = {name: (base[0] + 0.4 * rng.normal(size=60), base[1] + 0.4 * rng.normal(size=70)) for name in "ab"}
    row = stats.compare_aurocs(scores).frame().to_dicts()[0]
    draws = []
    for _ in range(1500):
        i, j = rng.integers(60, size=60), rng.integers(70, size=70)
        values = [(a[i][:, None] < b[j]).mean() for a, b in scores.values()]
        draws.append(values[0] - values[1])
    assert (row["high"] - row["low"]) / 3.92 == pytest.approx(np.std(draws), rel=0.15)


def test_a_shared_id_sample_correlates_aurocs():
    rng = np.random.default_rng(34)
    values, covariance = [], []
    for _ in range(150):
        known, a, b = rng.normal(size=300), rng.normal(1.5, 1, 300), rng.normal(1.5, 1, 300)
        values.append([stats.delong(known, each).estimate.value for each in (a, b)])
        covariance.append(stats.shared_id_covariance(known, a, b))
    first, second = np.transpose(values)
    assert np.corrcoef(first, second)[0, 1] > 0.3
    assert abs(stats.unshared_correlation(first, second, covariance).corrected) < 0.2


def test_risk_coverage_at_full_coverage_is_the_error_rate():
    rng = np.random.default_rng(35)
    right, score = rng.random(200) < 0.8, rng.random(200).round(1)
    found = stats.risk_coverage(score, right)
    assert found.risk[-1] == pytest.approx((~right).mean())
    assert found.excess >= 0
    perfect = stats.risk_coverage(np.where(right, 0.0, 1.0) + 1e-6 * np.arange(200), right)
    assert perfect.excess == pytest.approx(0, abs=1e-12)


def test_power_is_simulated_and_statsmodels():
    needed = stats.power("models", 0.4).needed
    hits = [stats.spearman(x, 0.4172 * x + np.sqrt(1 - 0.4172**2) * e).p < 0.05 for x, e in normal(36, 400, 2, needed)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.07)
    seeds_needed = stats.power("seeds", 0.02, sd=0.02).needed
    assert seeds_needed == int(np.ceil(sm.stats.TTestIndPower().solve_power(1.0, power=0.8, alpha=0.05)))
    assert stats.power("runs", 5.0, sd=0.5).needed == 5
    assert stats.power("runs", 5.0, sd=0.5, comparisons=100).needed == 7


def test_multiplicity_is_statsmodels_and_keeps_unknown_p():
    p = [0.001, np.nan, 0.02, 0.04]
    assert stats.holm(p)[[0, 2, 3]] == pytest.approx(sm.stats.multipletests([0.001, 0.02, 0.04], method="holm")[1])
    assert np.isnan(stats.benjamini_hochberg(p)[1])
    ties = np.random.default_rng(0).permutation([0.001, 0.02, 0.02, 0.04, 0.3, 0.3, 0.9, 1.0])
    assert stats.holm(ties) == pytest.approx(sm.stats.multipletests(ties, method="holm")[1])


@pytest.mark.parametrize("engine", ["pandas", "duckdb", "lazy", "parquet"])
def test_every_kind_of_table_gives_the_same_anova(engine, tmp_path):
    rows = as_rows(normal(37, 6, 3, 2), "mdr").rename({"m": "model"})
    if engine == "pandas":
        table = rows.to_pandas()
    elif engine == "duckdb":
        table = pytest.importorskip("duckdb").sql("select * from rows")
    elif engine == "lazy":
        table = rows.lazy()
    else:
        table = tmp_path / "rows.parquet"
        rows.write_parquet(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = stats.anova(table, ["model", "d"])
    assert found.frame().sort("term").equals(stats.anova(rows, ["model", "d"]).frame().sort("term")) or found.frame()[
        "ss"
    ].to_list() == pytest.approx(stats.anova(rows, ["model", "d"]).frame()["ss"].to_list())


def test_pandas_frames_are_not_needed_for_arrays():
    assert isinstance(pandas.DataFrame(), object) and stats.anova(normal(38, 5, 3, 2), ("model", "d")).n == 30


@pytest.mark.parametrize("tied", [slice(-6, -3), slice(-4, None), slice(-8, None)])
def test_two_lines_break_where_ties_leave_units_on_both_sides(tied):
    x = np.linspace(0, 1, 16)
    x[tied] = x[tied][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = stats.two_lines(x, -((x - x[-2]) ** 2) + np.sin(99 * np.arange(16)) / 99)
    for side in (x[x <= found.at], x[x > found.at]):
        assert len(side) >= 4 and len(np.unique(side)) >= 2

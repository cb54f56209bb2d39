"""The numbers of published tables that ship with outfield, to the digits given."""

from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from scipy.interpolate import make_smoothing_spline

from outfield.stats import (
    accuracy_on_the_line,
    anova,
    friedman,
    kendall,
    partial_correlation,
    pearson,
    repeated_measures,
    spearman,
    stratum,
    variance_components,
)

CLOSE = {"rel": 0, "abs": 1e-6}
FOLDER = files("outfield") / "reference"
BENCHMARKS = ["imagenet-a", "imagenet-r", "imagenet-v2", "imagenet-sketch", "imagenet-c", "imagenet-cbar"]
ITEMS = {"imagenet-a": 7500, "imagenet-r": 30000, "imagenet-v2": 10000, "imagenet-sketch": 50889, "imagenet-c": 50000,
         "imagenet-cbar": 50000}  # fmt: skip
GROUPS = {
    "noise": ["gaussian_noise", "shot_noise", "impulse_noise"],
    "blur": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"],
    "weather": ["snow", "frost", "fog", "brightness"],
    "digital": ["contrast", "elastic_transform", "pixelate", "jpeg_compression"],
}
CORRUPTIONS = [name for group in GROUPS.values() for name in group]


@pytest.fixture(scope="module")
def resnets() -> pl.DataFrame:
    return pl.read_csv(str(FOLDER / "resnet50_48_accuracies.csv"))


@pytest.fixture(scope="module")
def study() -> pl.DataFrame:
    return pl.read_csv(str(FOLDER / "krumpl2026_table2.csv"))


@pytest.mark.parametrize(
    ("ood", "expected"),
    [
        ("imagenet-a", [0.659339, 0.437613, 0.805476, 0.486247, 0.509990, 1.034755, 0.203198]),
        ("imagenet-v2", [0.986105, 0.971874, 0.993161, 0.918440, 0.995743, 0.943554, 0.993263]),
        ("imagenet-sketch", [0.678789, 0.464299, 0.818069, 0.507092, 0.632720, 0.462105, 0.434126]),
        ("imagenet-c", [0.776921, 0.607024, 0.878901, 0.556738, 0.768820, 0.776383, 0.618243]),
    ],
)
def test_relations_to_imagenet(resnets, ood, expected):
    rho, low, high, tau, r, slope, r2 = expected
    x, y = resnets["imagenet"], resnets[ood]
    found = spearman(x, y)
    assert (found.level, found.n_units) == ("model", 48)
    estimate = found.estimate
    assert [estimate.value, estimate.low, estimate.high] == pytest.approx([rho, low, high], **CLOSE)
    assert kendall(x, y).estimate.value == pytest.approx(tau, **CLOSE)
    assert pearson(x, y).estimate.value == pytest.approx(r, **CLOSE)
    line = accuracy_on_the_line(x, y)
    assert [line.slope.value, line.r2] == pytest.approx([slope, r2], **CLOSE)
    assert line.residuals.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("imagenet-a", "imagenet-sketch", [0.4485, 0.1889, -0.1559, 0.0760]),
        ("imagenet-r", "imagenet-sketch", [0.8781, 0.8884, 0.8834, 0.8101]),
        ("imagenet-c", "imagenet-cbar", [0.9111, 0.802197, 0.7765, 0.797539]),
    ],
)
def test_partial_correlations_given_imagenet(resnets, first, second, expected):
    plain, linear, spline, rank = expected
    found = partial_correlation(resnets[first], resnets[second], resnets["imagenet"]).estimates
    assert found["plain"].value == pytest.approx(plain, abs=5e-5)
    assert found["linear"].value == pytest.approx(linear, abs=5e-5)
    assert found["rank"].value == pytest.approx(rank, abs=5e-5)
    assert found["spline"].value == pytest.approx(spline, abs=5e-5)


def test_scipys_own_penalty_depends_on_the_unit_where_ours_does_not(resnets):
    """Given ImageNet in per cent, SciPy's search makes .9003 of R and Sketch, and other numbers in other units."""
    r, sketch, accuracy = (resnets[name].to_numpy() for name in ("imagenet-r", "imagenet-sketch", "imagenet"))
    ours, theirs = [], []
    for unit in (1, 100):
        x, at = np.unique(accuracy * unit, return_inverse=True)
        left = [y - make_smoothing_spline(x, np.bincount(at, y) / np.bincount(at))(x)[at] for y in (r, sketch)]
        theirs.append(np.corrcoef(*left)[0, 1])
        ours.append(partial_correlation(r, sketch, accuracy * unit).estimates["spline"].value)
    assert theirs[0] == pytest.approx(0.9003, abs=5e-3)
    assert abs(theirs[1] - theirs[0]) > 0.05
    assert ours[1] == pytest.approx(ours[0], abs=1e-6)


@pytest.fixture(scope="module")
def benchmarks(resnets) -> pl.DataFrame:
    return resnets.unpivot(on=BENCHMARKS, index=["model", "category"], variable_name="benchmark")


def test_anova_of_category_and_benchmark(benchmarks):
    found = anova(benchmarks, ["category", "benchmark"], unit="model")
    assert found.balanced
    assert (found.n, found.n_units, found.level) == (288, 48, "model")
    category, benchmark = found.row("category"), found.row("benchmark")
    both, residual = found.row("category:benchmark"), found.row("residual")
    assert [category["ss"], category["f"], category["eta2"], category["omega2"]] == pytest.approx(
        [3464.503504, 45.037417, 0.035054, 0.034271], **CLOSE
    )
    assert [benchmark["ss"], benchmark["f"], benchmark["eta2"]] == pytest.approx(
        [91172.437379, 1422.254384, 0.922489], **CLOSE
    )
    assert [both["ss"], both["f"], both["eta2"], both["partial_eta2"]] == pytest.approx(
        [1042.184957, 2.709613, 0.010545, 0.248369], **CLOSE
    )
    assert (residual["ss"], residual["df"]) == (pytest.approx(3153.925184, **CLOSE), 246)
    assert found.row("total")["ss"] == pytest.approx(98833.051025, **CLOSE)


def test_type_iii_needs_sum_coding_and_leaves_the_intercept_out(benchmarks):
    found = anova(benchmarks, ["category", "benchmark"], unit="model", typ=3)
    assert found.row("benchmark")["ss"] == pytest.approx(34592.909846, **CLOSE)
    assert sum(found.frame()["eta2"].drop_nulls()) == pytest.approx(1)


def test_models_within_category_and_benchmark_have_a_variance_of_their_own(benchmarks):
    """Categories x benchmarks as fixed cells, models random within category; REML of statsmodels gives the same."""
    found = variance_components(benchmarks, ["model"], fixed=["category", "benchmark"])
    assert found.frame()["component"].to_list() == ["model", "residual"]
    assert found.frame()["variance"].to_list() == pytest.approx([6.443, 6.378], abs=5e-4)
    assert found.log_likelihood == pytest.approx(-648.18, abs=5e-3)


def test_interaction_of_category_and_benchmark_within_models(benchmarks):
    found = repeated_measures(benchmarks, "category", "benchmark", "model")
    both, error = found.row("category x benchmark"), found.row("benchmark x model within category")
    assert (both["df"], error["df"]) == (30, 205)
    assert both["f"] == pytest.approx(5.447, abs=5e-4)
    assert both["ss"] == pytest.approx(1042.184957, **CLOSE)
    assert found.row("category")["f"] == pytest.approx(stratum(benchmarks, "category", "model").f)


def test_anova_of_the_empirical_logit(benchmarks):
    rows = benchmarks.with_columns(items=pl.col("benchmark").replace_strict(ITEMS))
    found = anova(rows, ["category", "benchmark"], unit="model", response="empirical-logit", trials="items")
    shares = found.frame()["eta2"].to_list()[:4]
    assert shares == pytest.approx([0.036243, 0.886717, 0.059641, 0.017399], **CLOSE)


def test_anova_of_the_arcsine_is_that_of_the_moved_response(benchmarks):
    found = anova(benchmarks, ["category", "benchmark"], unit="model", response="arcsine")
    moved = benchmarks.with_columns((pl.col("value") / 100).sqrt().arcsin())
    by_hand = anova(moved, ["category", "benchmark"], unit="model")
    assert found.frame()["ss"].to_list() == pytest.approx(by_hand.frame()["ss"].to_list())
    assert found.row("category:benchmark")["omega2"] > 0


def test_anova_of_model_severity_and_corruption_group(resnets):
    group = {name: key for key, names in GROUPS.items() for name in names}
    columns = [f"{name}_{severity}" for name in CORRUPTIONS for severity in range(1, 6)]
    rows = resnets.unpivot(on=columns, index=["model"]).with_columns(
        severity=pl.col("variable").str.tail(1), group=pl.col("variable").str.head(-2).replace_strict(group)
    )
    found = anova(rows, ["model", "severity", "group"])
    expected = {
        "model": 152088.272130, "severity": 615054.722585, "group": 103891.264770, "model:severity": 15631.135250,
        "model:group": 43897.828743, "severity:group": 37881.787678, "model:severity:group": 14381.935644,
        "residual": 367052.480419, "total": 1349879.427219,
    }  # fmt: skip
    assert {term: found.row(term)["ss"] for term in expected} == pytest.approx(expected, **CLOSE)
    assert (found.n, found.row("residual")["df"], found.balanced) == (3600, 2640, True)


def test_friedman_over_corruptions(resnets):
    scores = resnets.select([f"{name}_3" for name in CORRUPTIONS]).to_numpy().T
    found = friedman(scores, names=resnets["model"].to_list(), level="block")
    assert (found.blocks, found.treatments) == (15, 48)
    assert found.chi2 == pytest.approx(373.73469, abs=1e-5)
    assert found.w == pytest.approx(0.530120, **CLOSE)
    assert found.f == pytest.approx(15.79485, abs=1e-5)


def test_the_study_at_model_level(study):
    found = spearman(study["acc"], study["auroc"])
    assert found.estimate.value == pytest.approx(0.011928, **CLOSE)
    assert found.p == pytest.approx(0.9305, abs=5e-5)
    low, high = study.filter(pl.col("acc") <= 76.19), study.filter(pl.col("acc") > 76.19)
    assert (low.height, high.height) == (30, 26)
    assert spearman(low["acc"], low["auroc"]).estimate.value == pytest.approx(0.761820, **CLOSE)
    assert spearman(high["acc"], high["auroc"]).estimate.value == pytest.approx(-0.541197, **CLOSE)
    assert spearman(study["ece"], study["auroc"]).estimate.value == pytest.approx(-0.559241, **CLOSE)


def test_imagenet_c_is_the_mean_of_its_95_parts(resnets):
    extra = ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
    parts = [f"{name}_{severity}" for name in [*CORRUPTIONS, *extra] for severity in range(1, 6)]
    assert np.allclose(resnets.select(parts).to_numpy().mean(axis=1), resnets["imagenet-c"].to_numpy(), atol=1e-9)

"""A short run of the coverage simulation: intervals cover and tests hold their size where they claim to."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from outfield import registry, stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("coverage_simulation", BENCHMARKS / "coverage" / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SHORT = [
    "spearman, Bonett-Wright, n = 12, r = 0.6",
    "spearman, 12 strategies x 3 seeds, by strategy",
    "pearson by cluster, 12 clusters, Simpson",
    "spearman by cluster, 40 clusters, half shared",
    "slope by cluster, 40 clusters, Simpson",
    "partial correlation by cluster, 238 clusters, half shared",
    "correlation within clusters, 12 clusters, half shared",
    "correlation between clusters, 12 clusters, Simpson",
    "eta2 of model x detector, jackknife, n = 12",
    "mean rank, jackknife over 24 models",
    "Friedman, Iman-Davenport, 24 blocks",
    "two lines, truth a logarithm, n = 56",
    "partial correlation, linear, truth 0, n = 48",
    "within runs, mean Fisher z, 8 runs, phi = .9",
    "run permutation, 6 runs, phi = .9 about trends that all runs share",
    "run permutation given ID that wanders, OOD on trends that all runs share",
    "partial correlation, spline, truth 0, n = 12",
    "circular shift, stationary, phi = .5, n = 100",
    "partial correlation, natural, truth 0, n = 12",
    "variance component of 12 models x 4, generalised",
    "partial eta2 of family x set within 36 models, jackknife",
    "difference of correlations, spearman, one in common, n = 16",
    "test of a difference of correlations, spearman, none in common, n = 48",
    "reliability of .7 from standard errors, 36 models, jackknife",
    "partial correlation of 0 less noise of ID, reliability 0.8, n = 48",
    "correlation at the effective number of checkpoints, phi = 0.8, n = 100",
    "AUROC .9, DeLong on the logit scale, 200 and 200",
    "AUROC 0.9, DeLong on the logit scale, 5,000 and 2",
    "AUROC 0.99, DeLong on the logit scale, 9 and 5,000",
    "AUROC, 5,000 and 10 of which 95% have one score",
    "AUROC, 5,000 and 50 of which 95% have one score",
    "auroc with importance weights, 300 and 300",
    "accuracy with importance weights, 60",
    "nll with importance weights, 300",
    "mean_absolute_error of normal errors, 40",
    "root_mean_squared_error of normal errors, 40",
    "error_correlation of scores that follow the error, 40",
    "paired difference of accuracies, 30 items, 0.1 lost, 0.2 gained",
    "paired difference of accuracies, 200 items, McNemar",
    "paired difference of mean scores, 40 items",
    "paired difference in 10 clusters of 1 to 12 items",
    "paired difference in 40 clusters of 1 to 12 items",
    "difference of two accuracies from their Wilson intervals, 150 and 300 items",
    "detectable difference of accuracies, 400 items",
    "detectable difference in 40 clusters",
    "mean difference of 3 sets in 10, 10 and 40 clusters",
    "mean difference over 8 sets without errors of their own",
    "the set of rows alike holds the truly best of 40, errors of .3 to 1.2 spreads",
    "a row out of line in a table without one, n = 60, r = .9",
]


@pytest.mark.parametrize("name", SHORT)
def test_claims_hold(simulation, name):
    case = simulation.SIMULATE[name]
    assert case.claimed is not None
    share, counted = case.share(200, seed=3)
    assert counted > 50
    assert case.holds(share, counted), f"{name}: {share:.3f} over {counted}"


def test_every_interval_of_weighted_samples_has_a_case(simulation):
    rng = np.random.default_rng(0)
    x, weights = simulation.metrics.importance(rng, 300)
    unknown, ood_weights = simulation.metrics.importance(rng, 300)
    for name in registry.own("metrics"):
        metric = registry.create("metrics", name)
        if metric.inputs == "merit":
            continue
        given = {"weights": weights} | ({"ood_weights": ood_weights} if metric.per_set else {})
        if metric.inputs == "predictions":
            found = metric(simulation.metrics.said(x), (x > 0).astype(int), **given)
        elif metric.inputs == "ranking":
            found = metric(x, unknown + 1, **given)
        else:
            found = metric(*simulation.metrics.diagnosed(metric, rng, x, unknown), **given)
        cases = [each for each in simulation.SIMULATE if each.startswith(f"{name} with importance weights")]
        assert bool(cases) == (not np.isnan(found.low)), name


def test_every_interval_of_merits_has_a_case(simulation):
    names = [name for name in registry.own("metrics") if registry.find("metrics", name).inputs == "merit"]
    assert all(any(each.startswith(f"{name} of ") for each in simulation.SIMULATE) for name in names)


def test_every_case_stands_in_the_documentation(simulation):
    page = (BENCHMARKS.parent / "docs" / "statistics.md").read_text(encoding="utf-8")
    assert [each for each in simulation.SIMULATE if f"| {each} |" not in page] == []


@pytest.mark.parametrize("models", [3, 4, 6, 12])
def test_an_interval_of_a_share_holds_the_share(simulation, models):
    for seed in range(30):
        values = simulation.variance.design(np.random.default_rng(seed), models)
        found = stats.anova(values, simulation.variance.FACTORS).frame()
        for measure in ("eta2", "partial_eta2", "omega2"):
            known = found.drop_nulls(f"{measure}_low")
            assert (known[f"{measure}_low"] <= known[measure]).all()
            assert (known[measure] <= known[f"{measure}_high"]).all()


def test_the_usual_ways_are_seen_to_miss(simulation):
    """The simulation can fail: seeds taken as models, points of a run taken as a sample, percentile intervals."""
    pooled, _ = simulation.SIMULATE["spearman, 12 strategies x 3 seeds, seeds pooled"].share(200)
    naive, _ = simulation.SIMULATE["naive correlation, phi = .9, n = 100"].share(200)
    percentile, _ = simulation.SIMULATE["eta2 of model x detector, percentile, n = 12"].share(100)
    assert pooled > 0.15 and naive > 0.3 and percentile < 0.92


def test_the_published_size_is_within_its_promise():
    spec = importlib.util.spec_from_file_location("anova_benchmark", BENCHMARKS / "anova.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.table()
    assert rows.height == 9408
    seconds, peak = module.measured(lambda: module.stats.anova(rows, module.FACTORS))
    assert peak < 200 and seconds < 10
    found = module.stats.anova(rows, module.FACTORS, interval="bc", draws=10_000)
    assert found.row("model:detector")["eta2_low"] < found.row("model:detector")["eta2_high"]

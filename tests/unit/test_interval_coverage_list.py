"""Every function that builds an interval has a coverage case that runs it, or a reason, checked, why it needs none."""

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from outfield.stats import clusters

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "outfield"
PACKAGES = ("stats", "metrics", "trajectory", "card", "reports", "tables", "studies", "dashboard", "cli")

QUANTILES = {
    "ppf", "isf", "stdtrit", "ndtri", "gammaincinv", "betaincinv", "chdtri", "nctdtrinc", "quantile", "nanquantile",
    "percentile", "conf_int", "proportion_confint", "confidence_interval", "_critical",
}  # fmt: skip
"""What turns an error into a distance, or draws into ends."""
BUILDERS = {
    "resampled", "jackknife", "share_jackknife", "fisher", "bonett_wright", "wilson", "noncentral_f", "bootstrap",
    "of_influence", "of_mean", "mover", "logit_interval", "share", "mean_recall",
    "mean_over_runs",
}  # fmt: skip
"""The interval functions that the rest shares."""


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def hands_over_ends(call):
    """``Estimate(value, low, high)`` or ``estimate(value, ends, n)``."""
    given = {each.arg for each in call.keywords}
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    return (called(call) == "Estimate" and (len(call.args) > 2 or starred or "low" in given)) or (
        called(call) == "estimate" and len(call.args) > 1
    )


def is_quantile(node):
    """A quantile, called by name or written as a number."""
    if isinstance(node, ast.Call):
        return called(node) in QUANTILES
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and 1.955 < node.value < 1.965
    return isinstance(node, ast.Name) and node.id == "Z" and isinstance(node.ctx, ast.Load)


def builds(function):
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(called(each) in BUILDERS or hands_over_ends(each) for each in calls) or any(
        is_quantile(node) for node in ast.walk(function)
    )


def functions(body, prefix):
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef):
            yield f"{prefix}.{node.name}", node


@cache
def everything():
    """Name to syntax tree of every function of the packages."""
    found = {}
    for file in sorted(each for package in PACKAGES for each in (SOURCE / package).rglob("*.py")):
        name = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        found |= dict(functions(ast.parse(file.read_text(encoding="utf-8")).body, name))
    return found


@cache
def listed():
    return {name for name, node in everything().items() if builds(node)}


@cache
def simulation():
    spec = importlib.util.spec_from_file_location("coverage_list", ROOT / "benchmarks" / "coverage" / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def covered():
    return {name for each in simulation().SIMULATE.values() for name in each.covers}


def test_the_scan_sees_each_way_to_build_an_interval():
    texts = {
        "def f(x): return Estimate(x, x - 1, x + 1)": True,
        "def f(x): return Estimate(x, *ends(x))": True,
        "def f(x): return Estimate(x, n=3)": False,
        "def f(x): return intervals.estimate(x, ends(x), 3)": True,
        "def f(x): return x - stats.t.ppf(0.975, 3)": True,
        "def f(x): return x + 1.96 * se": True,
        "def f(x): return x + Z * se": True,
        "def f(x): return np.nanquantile(x, 0.025)": True,
        "def f(x): return wilson(x, 3)": True,
        "def f(x): return x.mean()": False,
    }
    assert {text: builds(ast.parse(text).body[0]) for text in texts} == texts


def test_the_list_is_that_of_the_source():
    assert {"stats.agreement._i2", "metrics.aurc._gamma", "trajectory.model.Model.apart"} <= listed()
    assert len(listed()) > 50


HANDS_ON = {
    "card.classes._share": "wilson",
    "metrics._intervals._weighted_recalls": "share",
    "metrics.aurc.Aurc.of": "_interval",
    "metrics.balanced_accuracy.BalancedAccuracy.of": "mean_recall",
    "reports.comparison.columns._value": "wilson",
    "stats.agreement.Agreement.plot": "",
    "stats.agreement.agreement": "wilson",
    "stats.intervals.estimate": "",
    "stats.measurement_error.errors_in_variables": "_accepted",
    "stats.repeated_measures.RepeatedMeasures.plot": "",
    "studies.bench._Bench._estimated": "",
    "trajectory.nli.runs.FineTuning._once": "wilson",
    "trajectory.tracker.Tracker.log": "wilson",
    "trajectory.tracker.balanced": "mean_recall",
}
"""Functions that hand on the ends which another makes ('': which they were given); none takes a quantile itself."""

STUDENTS = {
    "reports.displays.trajectory_bridge._means",
    "reports.displays.trajectory_tables._mean_pair",
    "trajectory.analysis.Trajectories.curves",
    "trajectory.model.Model.apart",
}
"""Student's interval of a mean over runs: ``t.ppf(0.975, n - 1) sd / sqrt(n)``, which has a case of its own."""

NO_INTERVAL = {
    "metrics._intervals.quantile": "a quantile for others",
    "metrics._quantiles.ranks": "ranks for a quantile",
    "metrics._quantiles.weighted_ranks": "ranks for a quantile",
    "reports.comparison.inputs._p": "a p value from an interval's width",
    "reports.comparison.models.ModelComparison._errors": "errors from an interval's width",
    "reports.comparison.models.ModelComparison.overview": "errors from an interval's width",
    "reports.displays._boxes.quartiles": "quartiles of data",
    "reports.findings.checks.few_items": "the width at best of any set of that size",
    "stats._plots._probit": "ticks of a probit scale",
    "stats.anova._responses": "a probit scale",
    "stats.aurocs._p_value": "a p value from an interval's width",
    "stats.outliers._deviation": "the spread of a normal distribution",
    "stats.power.power": "how many units it takes",
    "stats.ranks.critical_difference": "the distance of a test",
    "stats.relate.Line.frame": "a probit scale",
    "stats.shape._robin_hood": "where to break",
    "stats.smooth.natural_basis": "knots",
    "trajectory.analysis.Trajectories._matrices": "errors from an interval's width",
}
"""Functions that take a quantile and return no ends."""

NARROW = {
    "stats.anova._bootstrapped": "asked for by name; the page says how narrow it is",
    "stats.series.block_bootstrap": "for display, and says so",
    "stats.shape.lowess": "a picture, and says so",
}
"""Functions whose every case claims nothing."""


def test_every_interval_has_a_case_or_a_reason():
    reasons = {*HANDS_ON, *STUDENTS, *NO_INTERVAL}
    assert sorted(listed() - covered() - reasons) == [], "add a case to benchmarks/coverage that names it in covers="
    assert sorted(covered() - set(everything())) == [], "a case names a function that is not there"
    assert sorted(reasons - listed()) == [], "a reason for what builds no interval"
    assert sorted(reasons & covered() - {"stats.agreement.agreement"}) == [], "a reason for what has a case"


@pytest.mark.parametrize("name", sorted(HANDS_ON))
def test_what_hands_on_an_interval_makes_none(name):
    node, source = everything()[name], HANDS_ON[name]
    assert not any(is_quantile(each) for each in ast.walk(node))
    assert not source or source in {called(each) for each in ast.walk(node) if isinstance(each, ast.Call)}
    makers = {each for each in covered() if each.split(".")[-1] == source}
    assert not source or makers or source == "mean_recall"


@pytest.mark.parametrize("name", sorted(STUDENTS))
def test_a_mean_over_runs_has_students_interval(name):
    text = ast.unparse(everything()[name])
    assert "t.ppf(0.975, " in text and " - 1)" in text and ("ddof=1" in text or ".std()" in text or "'sd'" in text)
    assert "Student's interval of a mean over 3 runs" in simulation().SIMULATE


@pytest.mark.parametrize("name", sorted(NO_INTERVAL))
def test_what_returns_no_ends_builds_no_interval(name):
    node = everything()[name]
    assert not any(hands_over_ends(each) for each in ast.walk(node) if isinstance(each, ast.Call))
    keys = {
        key.value for each in ast.walk(node) if isinstance(each, ast.Dict) for key in each.keys if hasattr(key, "value")
    }
    assert not keys & {"low", "high"}


def test_functions_without_a_claim_are_known():
    claims = {name: [] for name in covered()}
    for each in simulation().SIMULATE.values():
        for name in each.covers:
            claims[name].append(each.claimed)
    assert {name for name, made in claims.items() if not any(made)} == set(NARROW)


def test_every_case_runs_what_it_says_that_it_covers():
    """One repetition of a case of each group, watched: a name in ``covers`` that is not called is no coverage."""
    seen: set[str] = set()

    def watch(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(SOURCE)):
            module = ".".join(Path(code.co_filename).relative_to(SOURCE).with_suffix("").parts)
            seen.add(f"{module}.{code.co_qualname.split('.<locals>')[0]}")

    clusters._critical.cache_clear()  # other tests have filled it
    missed, checked = {}, set()
    for name, each in simulation().SIMULATE.items():
        if set(each.covers) <= checked:
            continue
        seen.clear()
        sys.setprofile(watch)
        try:
            each.run(np.random.default_rng(1))
        finally:
            sys.setprofile(None)
        checked |= set(each.covers)
        if absent := set(each.covers) - seen:
            missed[name] = absent
    assert missed == {}

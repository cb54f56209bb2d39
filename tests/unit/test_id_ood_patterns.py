"""ID against OOD performance over a population of models: curved or straight, along or against."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from outfield import registry
from outfield.errors import UserError
from outfield.reports.analysis import analyse
from outfield.reports.analysis_page import displays
from outfield.reports.results import Results
from outfield.stats.patterns import curvature, pattern, regret
from outfield.testing import simulated
from tests.support_spurious import along_training, on_a_frozen_backbone

EPOCHS = (4, 8, 16, 32, 64, 128, 256, 512, 1000)


def test_the_f_test_is_that_of_nested_models() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.6, 0.95, 30)
    y = 0.3 + 0.5 * x - (x - 0.8) ** 2 + rng.normal(0, 0.02, 30)
    line = sm.OLS(y, sm.add_constant(x)).fit()
    curve = sm.OLS(y, sm.add_constant(np.column_stack([x, x**2]))).fit()
    f, p, _ = curve.compare_f_test(line)
    found = curvature(x, y)
    assert (found.f, found.p) == (pytest.approx(f, rel=1e-6), pytest.approx(p, rel=1e-6))
    assert (found.r2_line, found.r2_curve) == (pytest.approx(line.rsquared), pytest.approx(curve.rsquared))


def planted(slope: float, seed: int, noise: float = 0.01, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.7, 0.95, 30)
    return x, 0.5 + slope * (x - 0.8) + bend * (x - 0.8) ** 2 + rng.normal(0, noise, 30)


@pytest.mark.parametrize(("slope", "shape"), [(0.6, "positive"), (-0.6, "inverse"), (0.0, "flat")])
def test_planted_tables_are_told_right(slope: float, shape: str) -> None:
    right = sum(pattern(*planted(slope, seed, noise=0.006)).shape == shape for seed in range(100))
    assert right >= 95


def test_noise_that_hides_the_slope_is_none() -> None:
    none = sum(pattern(*planted(0.0, seed, noise=0.2)).shape == "none" for seed in range(100))
    assert none >= 95


def test_planted_lines_are_no_curves_and_planted_curves_are() -> None:
    flagged = sum(curvature(*planted(0.6, seed)).p < 0.01 for seed in range(100))
    assert flagged <= 5
    assert sum(curvature(*planted(0.6, seed, bend=-8)).p < 0.01 for seed in range(100)) >= 95


def test_curvature_grows_with_the_spurious_correlation() -> None:
    """Twelve linear models at nine epochs on digits with a cue; measured .001, .165 and .122 (row: .02, .57, .43)."""
    found = {rate: curvature(*along_training(rate, EPOCHS)) for rate in (0.5, 0.8, 0.95)}
    gain = {rate: one.r2_curve - one.r2_line for rate, one in found.items()}
    assert gain[0.5] <= 0.02 and gain[0.8] >= 0.1 and gain[0.95] >= 0.1
    assert found[0.8].p < 0.01 and found[0.95].p < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_diverse_population_shows_the_trade_off_that_seeds_hide(seed: int) -> None:
    """Linear heads on one frozen backbone; with the penalty r was -.52, -.44, -.47; seeds alone are all alike."""
    x, y = on_a_frozen_backbone(diversity=0.3, seed=seed)
    diverse = pattern(x, y)
    assert diverse.shape == "inverse" and diverse.r.value <= -0.3 and diverse.p < 0.01
    assert regret(x, y) > 0.05, "choosing by ID misses the best under the shift"
    seeds = pattern(*on_a_frozen_backbone(diversity=0.0, seed=seed))
    assert seeds.shape == "flat", "one accuracy for all: no trade-off is seen"


def test_regret_is_the_best_less_the_choice() -> None:
    assert regret([0.9, 0.8, 0.7], [0.4, 0.6, 0.5]) == pytest.approx(0.2)
    assert regret([0.9, 0.8], [0.6, 0.4]) == 0


# --- on study rows, and on anyone's table -----------------------------------------------------------


def study(slope: float, seeds: int = 1) -> pl.DataFrame:
    x, y = planted(slope, 1)
    rows = []
    for i, (one, two) in enumerate(zip(x, y, strict=True)):
        common = {"model": f"m{i}", "strategy": f"s{i}" if seeds == 1 else "all", "metric": "accuracy", "seed": i}
        rows += [
            common | {"set_kind": "id", "value": one},
            common | {"set_kind": "shift", "shift": "blur", "value": two},
        ]
    return pl.DataFrame(rows)


@pytest.mark.parametrize(("slope", "seeds", "says"), [(-0.6, 1, "are worse on shifted"), (0.6, 30, "are better on")])
def test_a_study_says_its_pattern_and_its_regret(slope: float, seeds: int, says: str) -> None:
    found = registry.create("analyses", "id_and_ood_pattern").of(Results.of(study(slope, seeds)))
    assert says in found.sentences()[0] and found.frame().height == 30
    x, y = planted(slope, 1)
    assert found.frame()["regret"][0] == pytest.approx(regret(x, y))


def test_a_study_says_whether_it_is_a_curve() -> None:
    found = registry.create("analyses", "accuracy_on_the_curve").of(Results.of(study(0.6)))
    assert found.sentences()[0].startswith("These models do not tell a curve from a line")


def test_too_few_models_and_unknown_groups_are_refused() -> None:
    rows = simulated.rows(seeds=1, detectors=("msp",), strategies={"baseline": "baseline"})
    with pytest.raises(UserError, match="at least 6 models"):
        registry.create("analyses", "id_and_ood_pattern").of(Results.of(rows))
    with pytest.raises(UserError, match="on the group 'night', but there are site a, site b"):
        registry.create("analyses", "accuracy_on_the_curve", group="night").of(Results.of(rows))


def test_anyones_table_has_the_pattern() -> None:
    x, y = planted(-0.6, 3)
    table = pl.DataFrame({"model": [f"m{i}" for i in range(30)], "ImageNet acc": x, "sketch acc": y})
    found = analyse(table, model="model", id="ImageNet acc", ood=["sketch acc"], unit="row")
    shown = {one.code: one for one in displays(found)["ID against OOD"]}["patterns"]
    row = shown.table.row(0, named=True)
    assert row["pattern"] == "inverse" and row["regret"] == pytest.approx(regret(x, y))
    assert row["p_curve"] == pytest.approx(curvature(x, y).p)

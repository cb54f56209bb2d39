"""Reliability of measures from standard errors of cells, and correlations less the noise."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from outfield import stats
from outfield.errors import UserError
from outfield.reports.analysis import Analysis, analyse
from outfield.reports.cell_noise import cell_errors, less_noise_frame, reliability_frame
from outfield.reports.findings import findings
from outfield.stats.attenuation import _without_each

RNG = np.random.default_rng(0)


def test_reliability_is_what_repeating_the_measure_would_correlate():
    true = RNG.normal(size=20_000)
    first, second = true + 0.7 * RNG.normal(size=(2, 20_000))
    found = stats.cell_reliability(first, np.full(20_000, 0.7))
    assert found.reliability.value == pytest.approx(np.corrcoef(first, second)[0, 1], abs=0.02)
    assert (found.noise, found.spread) == (pytest.approx(0.7), pytest.approx(first.std(ddof=1)))


def test_reliability_without_each_unit_is_that_of_the_others():
    x, se = RNG.normal(size=12), RNG.uniform(0.1, 0.5, 12)
    rest = [stats.cell_reliability(np.delete(x, i), np.delete(se, i)).reliability.value for i in range(12)]
    assert _without_each(x, se**2) == pytest.approx(np.array(rest))


def test_a_plus_minus_of_0_is_no_error_of_0():
    x, se = RNG.normal(size=20), np.full(20, 0.5)
    se[:5] = 0
    found = stats.cell_reliability(x, se)
    assert (found.n_units, found.reliability.value) == (15, stats.cell_reliability(x[5:], se[5:]).reliability.value)
    assert "Dropped 5 of 20" in found.notes[0]
    with pytest.raises(UserError, match="at least 4"):
        stats.cell_reliability(x, np.zeros(20))


def test_spearmans_correction_is_the_raw_correlation_over_the_root_of_the_reliabilities():
    a, b = RNG.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 60).T
    errors = RNG.uniform(0.2, 0.6, (2, 60))
    found = stats.disattenuated_correlation(a, b, errors=errors)
    product = np.prod([stats.cell_reliability(x, se).reliability.value for x, se in zip((a, b), errors, strict=True)])
    r = np.corrcoef(a, b)[0, 1]
    assert (found.raw.value, found.corrected.value) == (pytest.approx(r), pytest.approx(r / np.sqrt(product)))
    assert np.prod(found.reliabilities) == pytest.approx(product)
    assert found.corrected.low < found.corrected.value < found.corrected.high


def test_a_noisy_id_measure_alone_is_errors_in_variables():
    true = RNG.uniform(0.4, 0.8, 80)
    a, b = true + RNG.normal(0, 0.05, (2, 80))
    seen = true + RNG.normal(0, 0.04, 80)
    ours = stats.disattenuated_correlation(100 * a, b, seen, errors=[None, None, np.full(80, 0.04)])
    theirs = stats.errors_in_variables(a, b, seen, error_variance=0.04**2)
    assert (ours.raw.value, ours.corrected.value) == (pytest.approx(theirs.raw), pytest.approx(theirs.corrected.value))


def test_of_a_measure_without_errors_nothing_is_taken_off():
    a, b = RNG.normal(size=(2, 30))
    found = stats.disattenuated_correlation(a, b, errors=[None, None])
    assert found.corrected.value == pytest.approx(found.raw.value)
    assert found.reliabilities == (1.0, 1.0)


def test_noise_as_large_as_the_spread_leaves_nothing_known():
    a, b = RNG.normal(size=(2, 30))
    found = stats.disattenuated_correlation(a, b, errors=[np.full(30, 2.0), None])
    assert np.isnan([found.corrected.value, found.corrected.low]).all()


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([None], "errors of 2 measures"),
        ([np.zeros(9), None], "above 0"),
        ([np.ones(8), None], "each of 9 units"),
        ([-np.ones(9), None], "0 or more"),
    ],
)
def test_errors_that_cannot_be_are_told(errors, said):
    with pytest.raises(UserError, match=said):
        stats.disattenuated_correlation(np.arange(9.0), np.arange(9.0) ** 2, errors=errors)


@pytest.fixture(scope="module")
def noisy() -> Analysis:
    """Forty models that agree beyond ID by the noise of ID alone, and whose third measure is mostly noise."""
    rng = np.random.default_rng(3)
    true = rng.uniform(0.5, 0.7, 40)
    a, b = true + rng.normal(0, 0.02, (2, 40))
    table = pl.DataFrame({"model": [f"m{i}" for i in range(40)], "id": true + rng.normal(0, 0.03, 40), "a": a, "b": b,
                          "c": 0.5 + rng.normal(0, 0.02, 40)})  # fmt: skip
    found = analyse(table, id="id", ood=["a", "b", "c"], kind="accuracy").measures
    errors = pl.DataFrame({"id": np.full(40, 0.03), "c": np.full(40, 0.017), "a": np.zeros(40)})
    return Analysis(replace(found, errors=errors))


def test_a_table_with_errors_has_reliabilities_and_corrected_correlations(noisy):
    table = reliability_frame(noisy.measures)
    assert table["measure"].to_list() == ["id", "c"]
    assert set(table["error from"]) == {"given"}
    rows = less_noise_frame(noisy.less_noise)
    pair = rows.filter(pl.col("first") == "a", pl.col("second") == "b").row(0, named=True)
    assert pair["raw low"] > 0.2 and pair["low"] < 0 < pair["high"]


def test_noise_is_told_in_the_findings(noisy):
    said = [each.sentence for each in findings(noisy) if each.code == "OF034"]
    assert any(text.startswith("c: up to ") and "sampling noise" in text for text in said)
    assert any(text.startswith("a and b given id: ") for text in said)
    assert not any("nan" in text for text in said)


def test_errors_follow_from_items_where_none_are_given():
    found = analyse(example="resnet50-48").measures
    p = found.column("imagenet-a")
    assert cell_errors(found)["imagenet-a"] == pytest.approx(np.sqrt(p * (1 - p) / 7499))
    assert cell_errors(replace(found, items={})) == {}
    assert cell_errors(replace(found, detection=True)).keys() == {"imagenet"}
    assert cell_errors(replace(found, level="strategy")) == {}


def test_a_given_error_stands_before_that_of_items():
    found = analyse(example="resnet50-48").measures
    given = replace(found, errors=pl.DataFrame({"imagenet-a": np.full(48, 0.01)}))
    assert set(cell_errors(given)["imagenet-a"]) == {0.01}
    rows = reliability_frame(given).select("measure", "error from").rows()
    assert ("imagenet-a", "given") in rows and ("imagenet-r", "items") in rows


def test_a_table_without_errors_has_no_such_section():
    found = analyse(example="krumpl2026")
    assert found.less_noise == {}
    with pytest.raises(UserError, match="standard errors"):
        less_noise_frame(found.less_noise)
    with pytest.raises(UserError, match="standard errors"):
        reliability_frame(found.measures)

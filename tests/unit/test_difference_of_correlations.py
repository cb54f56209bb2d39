"""Differences of correlations against published examples, textbook formulae and simulation."""

import numpy as np
import polars as pl
import pytest
from scipy import stats as theory

from outfield import stats
from outfield.errors import UserError
from outfield.reports.analysis import analyse
from outfield.reports.findings import findings
from outfield.stats.difference_of_correlations import _shared, _zou


def of_matrix(matrix: np.ndarray, n: int) -> list[np.ndarray]:
    """n units whose correlations are exactly those of ``matrix``."""
    raw = np.random.default_rng(0).normal(size=(n, len(matrix)))
    white, _ = np.linalg.qr(raw - raw.mean(axis=0))
    return list((white @ np.linalg.cholesky(matrix).T).T)


def test_zous_published_examples():
    """Zou 2007: r = .396 and .179 with .088 between, n = 66, overlapping, is [-.093, .517]."""
    x, first, second = of_matrix(np.array([[1, 0.396, 0.179], [0.396, 1, 0.088], [0.179, 0.088, 1]]), 66)
    found = stats.difference_of_correlations((x, first), (x, second), same_units=True, kind="pearson")
    assert [found.difference.low, found.difference.high] == pytest.approx([-0.093, 0.517], abs=5e-4)
    apart = _zou(np.array([0.49, 0.36]), np.array([145, 87]), 0.0, "pearson", 0.95)
    assert apart == pytest.approx((-0.087, 0.359), abs=5e-4)


def test_a_measure_in_common_is_the_textbooks_special_case():
    """Steiger's psi for overlapping correlations, over (1 - r^2) of both."""
    a, b, k = 0.6, -0.2, 0.35
    table = np.array([[1, a, 1, b], [a, 1, a, k], [1, a, 1, b], [b, k, b, 1]])
    psi = k * (1 - a**2 - b**2) - a * b * (1 - a**2 - b**2 - k**2) / 2
    assert _shared(table, np.array([a, b])) == pytest.approx(psi / ((1 - a**2) * (1 - b**2)))


def test_shared_is_the_correlation_of_the_estimates():
    """Without a measure in common, by 4,000 samples of 80 units."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=(4000, 80))
    x, y, u, v = (0.8 * common + 0.6 * rng.normal(size=(4000, 80)) for _ in range(4))

    def r(p, q):
        p, q = p - p.mean(1, keepdims=True), q - q.mean(1, keepdims=True)
        return (p * q).sum(1) / np.sqrt((p**2).sum(1) * (q**2).sum(1))

    table = np.full((4, 4), 0.64) + 0.36 * np.eye(4)
    assert _shared(table, np.array([0.64, 0.64])) == pytest.approx(np.corrcoef(r(x, y), r(u, v))[0, 1], abs=0.04)


def test_different_units_are_the_textbooks_z_test():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 30)), rng.normal(size=(2, 40))
    found = stats.difference_of_correlations(first, second, kind="pearson")
    z = np.arctanh([np.corrcoef(*first)[0, 1], np.corrcoef(*second)[0, 1]])
    p = 2 * theory.norm.sf(abs(z[0] - z[1]) / np.sqrt(1 / 27 + 1 / 37))
    assert (found.p, found.shared, found.n_units) == (pytest.approx(p), 0.0, 70)


def test_the_same_pair_does_not_differ_from_itself():
    x, y = np.random.default_rng(3).normal(size=(2, 20))
    found = stats.difference_of_correlations((x, y), (x, y), same_units=True)
    assert (found.difference.value, found.p, found.shared) == (0, 1, pytest.approx(1))


def test_units_that_miss_a_measure_are_left_out_of_both():
    x, y, u = np.random.default_rng(4).normal(size=(3, 20))
    u[3] = np.nan
    found = stats.difference_of_correlations((x, y), (u, y), same_units=True)
    assert found.n_units == 19 and "row 3" in found.notes[0]
    assert found.first == pytest.approx(theory.spearmanr(np.delete(x, 3), np.delete(y, 3)).statistic)


def test_an_unknown_kind_is_told():
    with pytest.raises(UserError, match="spearman or pearson"):
        stats.difference_of_correlations(np.eye(2), np.eye(2), kind="kendall")


def models(ece: float, accuracy: float, n: int = 30) -> pl.DataFrame:
    """Correlations with the OOD accuracy as given."""
    table = np.array([[1, ece, accuracy], [ece, 1, 0], [accuracy, 0, 1]])
    ood, error, right = of_matrix(table, n)
    scaled = {name: 0.5 + values for name, values in (("ood", ood), ("ece", error), ("id", right))}
    return pl.DataFrame({"model": [f"m{i}" for i in range(n)], **scaled})


@pytest.mark.parametrize(("ece", "accuracy", "claimed"), [(-0.45, 0.4, False), (-0.8, 0.1, True)])
def test_ece_is_called_better_only_where_the_difference_is_clear(ece, accuracy, claimed):
    """-.45 against .40 over 30 models: significant, and larger, but no evidence of a better predictor."""
    found = analyse(models(ece, accuracy), id="id", ood=["ood"], ece="ece", kind="accuracy")
    assert found.ece.p < 0.05
    assert any(each.code == "OF010" for each in findings(found)) == claimed


def test_the_sides_of_the_baseline_are_compared():
    found = analyse(example="krumpl2026").side_frame()
    gap = found.row(2, named=True)
    assert gap["spearman"] == pytest.approx(-0.541197 - 0.761820, abs=1e-6)
    assert gap["high"] < 0 and gap["p"] < 1e-5

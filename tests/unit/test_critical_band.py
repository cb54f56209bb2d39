"""Noise of single bands of spatial frequency, and the band that a classifier reads."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats as theory

from outfield import registry
from outfield.data.shifts.band_noise import RMS, band_limited
from outfield.errors import UserError
from outfield.reports.results import Results
from outfield.stats.critical_band import OCTAVES, critical_band

BANDS = (1.0, 2.0, 4.0, 8.0)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_every_band_bears_the_same_noise(severity: int) -> None:
    grey = np.full((32, 32, 1), 0.5, np.float32)
    for band in BANDS:
        noisy = registry.create("shifts", "band_noise", band=band).apply(grey, severity, np.random.default_rng(0))
        assert np.sqrt(((noisy - 0.5) ** 2).mean()) == pytest.approx(RMS[severity - 1], rel=0.02)


def test_the_noise_has_no_other_frequencies() -> None:
    noise = band_limited((64, 64, 1), 8.0, np.random.default_rng(0))[:, :, 0]
    power = np.abs(np.fft.fft2(noise)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64, 1 / 64), np.fft.fftfreq(64, 1 / 64)))
    inside = (radius >= 8 / np.sqrt(2)) & (radius < 8 * np.sqrt(2))
    assert power[inside].sum() / power.sum() > 1 - 1e-9


def test_a_band_that_pictures_lack_is_refused() -> None:
    with pytest.raises(UserError, match="cycles per picture"):
        band_limited((8, 8, 1), 40.0, np.random.default_rng(0))


@pytest.mark.parametrize(("centre", "octaves"), [(4.0, 1.5), (6.0, 2.5), (8.0, 2.0)])
def test_a_known_band_is_recovered(centre: float, octaves: float) -> None:
    """A classifier whose template lies in a known band: noise passes its filter, and a sign is read off."""
    rng = np.random.default_rng(0)
    bands, noise = 2.0 ** np.arange(-0.5, 5.5, 0.5), np.geomspace(0.02, 4, 14)
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(64, 1 / 64), np.fft.fftfreq(64, 1 / 64)))
    gain = np.exp(-((np.log2(np.maximum(radius, 1e-9)) - np.log2(centre)) ** 2) / 2 / (octaves / OCTAVES) ** 2)
    accuracy = []
    for band in bands:
        fields = [band_limited((64, 64, 1), band, rng)[:, :, 0] for _ in range(40)]
        read = np.array([np.fft.ifft2(np.fft.fft2(one) * gain).real for one in fields])
        spread = read.std()
        accuracy.append([theory.norm.cdf(0.5 / max(level * spread, 1e-12)) for level in noise])
    found = critical_band(bands, noise, accuracy, clean=1.0, chance=0.5)
    assert abs(np.log2(found.centre / centre)) < 0.3 and abs(found.octaves - octaves) < 0.3


def test_too_few_thresholds_are_refused() -> None:
    with pytest.raises(UserError, match="three bands"):
        critical_band(BANDS, RMS, np.ones((4, 5)), clean=1.0, chance=0.1)


def rows(models: int) -> pl.DataFrame:
    """Models whose wider bands go with lower accuracy under other shifts."""
    made = []
    for i in range(models):
        width = 0.8 + 0.1 * i
        common = {"model": f"m{i}", "strategy": f"s{i}", "metric": "accuracy", "n_id": 100}
        made.append(common | {"set_kind": "id", "value": 0.9})
        made.append({"model": f"m{i}", "strategy": f"s{i}", "metric": "classes", "set_kind": "id", "value": 10.0})
        made.append(common | {"set_kind": "shift", "shift": "blur", "severity": 3, "value": 0.9 - 0.05 * width})
        for band in (1.0, 2.0, 4.0, 8.0, 16.0):
            gain = np.exp(-((np.log2(band) - 2) ** 2) / 2 / width**2)
            for severity, level in enumerate(RMS, 1):
                value = 0.1 + 0.8 * theory.norm.cdf(3 * (1 - level * gain / 0.05))
                shift = {"set_kind": "shift", "shift": f"band_noise {band:g}", "severity": severity}
                made.append(common | shift | {"value": value})
    return pl.DataFrame(made, infer_schema_length=None)


def test_bandwidth_is_set_beside_accuracy_under_corruptions() -> None:
    found = registry.create("analyses", "critical_bands").of(Results.of(rows(9)))
    table = found.frame()
    assert table.height == 9 and table["octaves"].is_sorted()
    assert np.abs(np.log2(table["centre"].to_numpy() / 4)).max() < 0.3
    rho = theory.spearmanr(table["octaves"], table["shifted"]).statistic
    assert rho < -0.9 and f"rho is {rho:.2f}" in found.sentences()[0] and "permutation" in " ".join(found.sentences())


def test_without_band_noise_it_says_what_to_add() -> None:
    other = rows(3).filter(~pl.col("shift").fill_null("").str.starts_with("band_noise"))
    with pytest.raises(UserError, match="band_noise"):
        registry.create("analyses", "critical_bands").of(Results.of(other))

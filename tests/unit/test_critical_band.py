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
from outfield.testing import simulated

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


def test_a_band_that_pictures_lack_is_the_nearest_that_they_have() -> None:
    highest, beyond = (band_limited((8, 8, 1), band, np.random.default_rng(0)) for band in (4 * np.sqrt(2), 40.0))
    assert np.sqrt((beyond**2).mean()) == pytest.approx(1) and beyond.shape == highest.shape
    assert not band_limited((1, 1, 1), 2.0, np.random.default_rng(0)).any(), "one pixel has no frequency"


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


def test_bandwidth_is_set_beside_accuracy_under_corruptions() -> None:
    found = registry.create("analyses", "critical_bands").of(Results.of(simulated.band_noise(9)))
    table = found.frame()
    assert table.height == 9 and table["octaves"].is_sorted()
    assert np.abs(np.log2(table["centre"].to_numpy() / 4)).max() < 0.3
    rho = theory.spearmanr(table["octaves"], table["shifted"]).statistic
    assert rho < -0.9 and f"rho is {rho:.2f}" in found.sentences()[0] and "permutation" in " ".join(found.sentences())


def test_without_band_noise_it_says_what_to_add() -> None:
    other = simulated.band_noise(3).filter(~pl.col("shift").fill_null("").str.starts_with("band_noise"))
    with pytest.raises(UserError, match="band_noise"):
        registry.create("analyses", "critical_bands").of(Results.of(other))

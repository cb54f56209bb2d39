"""The simulated radar: what physics says of its echoes, and what the source gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from outfield.errors import UserError
from outfield_science.radar import BODY, Radar, Rotor, echo, received, spectra
from outfield_science.sources.micro_doppler import MicroDoppler
from outfield_science.spd import matrices

RADAR = Radar(pulses=32, bursts=1600, dwell=1600 * 32 / 50e3)
"""Looks for a second, without a gap: 1,562 spectra."""


def flashes(rotor: Rotor, points: int) -> float:
    """How often a second the cells that see the tips come towards the radar light up."""
    power = spectra(received(rotor, RADAR, np.random.default_rng(0), points))
    tips = 2 * 2 * np.pi * rotor.rate * rotor.length / RADAR.wavelength
    seen = power[:, RADAR.frequencies() > 0.7 * tips].sum(1)
    seen = gaussian_filter1d(seen, 6.0)  # a flash lasts a spectrum or two
    again = np.correlate(seen - seen.mean(), seen - seen.mean(), "full")[len(seen) :]
    peaks, _ = find_peaks(again, height=0.5 * again[20:].max(), distance=16)
    return RADAR.bursts / RADAR.dwell / (peaks[0] + 1)


@pytest.mark.parametrize(("points", "length"), [(1, 6.0), (40, 1.0)], ids=["tips", "whole blades"])
@pytest.mark.parametrize("blades", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("rate", [7.0, 10.5])
def test_blades_flash_at_blades_times_the_rotation_rate(blades: int, rate: float, points: int, length: float) -> None:
    rotor = Rotor(blades, rate, length, phase=0.3)
    assert flashes(rotor, points) == pytest.approx(blades * rate, rel=0.05)


def test_the_body_stands_in_the_cell_of_its_velocity() -> None:
    still = Rotor(blades=2, rate=0.0, length=0.0, velocity=-100.0, sight=0.8)
    power = spectra(echo(still, RADAR.times(), RADAR.wavelength)).mean(0)
    expected = 2 * 100.0 * 0.8 / RADAR.wavelength
    assert abs(RADAR.frequencies()[power.argmax()] - expected) <= 0.5 * RADAR.repetition / RADAR.pulses


def test_spectra_keep_the_power_and_the_noise_has_the_ratio_that_is_asked() -> None:
    rng = np.random.default_rng(0)
    radar = Radar(snr=10.0)
    rotor = Rotor.drawn(2, rng)
    given = received(rotor, radar, rng)
    np.testing.assert_allclose(spectra(given).sum(-1), (np.abs(given) ** 2).sum(-1))
    noise = np.abs(given - echo(rotor, radar.times(), radar.wavelength)) ** 2
    assert noise.mean() == pytest.approx(BODY / 10, rel=0.05)


def test_no_drawn_rotor_is_too_fast_for_the_radar() -> None:
    rng = np.random.default_rng(0)
    fastest = 0.0
    for _ in range(500):
        rotor = Rotor.drawn(4, rng)
        speed = (2 * np.pi * rotor.rate * rotor.length + abs(rotor.velocity)) * rotor.sight
        fastest = max(fastest, 2 * speed / Radar().wavelength)
    assert 10e3 < fastest < Radar().repetition / 2


@pytest.mark.parametrize("bursts", [4, 32])
def test_covariances_are_positive_definite_also_of_fewer_spectra_than_cells(bursts: int) -> None:
    source = MicroDoppler((1, 6), n=10, pulses=32, bursts=bursts, representation="covariance")
    rows = torch.from_numpy(np.asarray(source.load().read(slice(None))))
    assert rows.shape == (20, 32 * 32)
    assert float(torch.linalg.eigvalsh(matrices(rows, ridge=0.0)).min()) > 0.9 * source.ridge


def test_the_covariance_of_a_spectrum_is_that_of_the_source() -> None:
    few = {"blades": (2,), "n": 3, "pulses": 16, "bursts": 16}
    pictures, rows = (MicroDoppler(**few, representation=name).load() for name in ("spectrum", "covariance"))
    seen = torch.from_numpy(np.asarray(pictures.read(slice(None)))).permute(0, 3, 1, 2)
    stored = torch.from_numpy(np.asarray(rows.read(slice(None))))
    assert torch.allclose(matrices(seen, 1e-3), matrices(stored, 1e-3), atol=1e-6)


def test_parts_have_no_signature_in_common_and_a_class_does_not_move_with_the_others() -> None:
    parts = [MicroDoppler((2,), n=5, part=part, pulses=16, bursts=8).load() for part in ("fit", "val", "test")]
    assert len({key for part in parts for key in part.row_keys}) == 15
    both = MicroDoppler((1, 2), n=5, pulses=16, bursts=8).load()
    assert set(parts[0].row_keys) < set(both.row_keys)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"part": "all"}, "Expected a part among fit, val, test, but got 'all'"),
        ({"representation": "phase"}, "Expected a representation among spectrum, covariance, but got 'phase'"),
        ({"blades": ()}, "Expected blades of at least 1"),
        ({"pulses": 0}, "Expected pulses of at least 1, but got 0"),
    ],
)
def test_what_is_asked_wrongly_is_told(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MicroDoppler(**given)  # type: ignore[arg-type]

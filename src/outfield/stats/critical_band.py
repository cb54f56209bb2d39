"""The band of spatial frequencies that a classifier reads, from its accuracy under noise of single bands."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from outfield.errors import UserError
from outfield.stats.base import Result
from outfield.types import Array

OCTAVES = 2 * sqrt(2 * log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


@dataclass(frozen=True, eq=False)
class CriticalBand(Result):
    """A Gaussian of sensitivity over log frequency.

    Attributes
    ----------
    centre : float
        In cycles per picture.
    octaves : float
        Full width at half maximum.
    thresholds : tuple of float
        Noise at which accuracy has fallen to the criterion, by band; infinite where it never does.
    """

    centre: float
    octaves: float
    thresholds: tuple[float, ...]


def critical_band(bands: Any, noise: Any, accuracy: Any, *, clean: float, chance: float) -> CriticalBand:
    """Centre and width of the band that a classifier reads [1].

    A band's threshold is the noise at which accuracy is half way between ``clean`` and ``chance``, interpolated over
    the logarithm of the noise; sensitivity is its inverse. A Gaussian of sensitivity over log2 frequency is fitted to
    the logarithms; a band without a threshold says only that sensitivity is below the inverse of the strongest noise.

    Parameters
    ----------
    bands : array [B]
        Cycles per picture.
    noise : array [S], ascending
        Root mean square.
    accuracy : array [B, S]
    clean, chance : float
        Accuracy without noise, and of guessing.

    Raises
    ------
    UserError
        Fewer than three bands have a threshold.

    References
    ----------
    [1] Subramanian, Sizikova, Majaj, Pelli. Spatial-frequency Channels, Shape Bias, and Adversarial Robustness.
    NeurIPS 2023.
    """
    octave, levels, table = np.log2(np.asarray(bands, float)), np.asarray(noise, float), np.asarray(accuracy, float)
    limits = np.array([_threshold(levels, row, (clean + chance) / 2) for row in table])
    reached = np.isfinite(limits)
    if reached.sum() < 3:
        raise UserError(
            f"Expected three bands or more whose noise halves the accuracy, but got {int(reached.sum())}. Use stronger "
            "noise, or more bands."
        )
    sensitivity = np.where(reached, -np.log(np.where(reached, limits, 1)), -log(levels[-1]))

    def misfit(params: Array) -> Array:
        peak, centre, width = params
        off = peak - (octave - centre) ** 2 / (2 * np.exp(2 * width)) - sensitivity
        return np.asarray(np.where(reached, off, np.maximum(off, 0)))

    start = [sensitivity.max(), octave[np.argmax(sensitivity)], 0.0]
    bounds = ([-np.inf, octave.min() - 1, log(0.1)], [np.inf, octave.max() + 1, log(8)])
    fitted = least_squares(misfit, start, bounds=bounds).x
    return CriticalBand(
        float(2 ** fitted[1]), OCTAVES * float(np.exp(fitted[2])), tuple(limits.tolist()), n_units=len(octave)
    )


def _threshold(noise: Array, accuracy: Array, criterion: float) -> float:
    """The noise at which accuracy first falls to the criterion; infinite where it never does."""
    below = np.flatnonzero(accuracy <= criterion)
    if not len(below):
        return float("inf")
    at = int(below[0])
    if at == 0:
        return float(noise[0])
    share = (accuracy[at - 1] - criterion) / (accuracy[at - 1] - accuracy[at])
    return float(np.exp(np.log(noise[at - 1]) + share * (np.log(noise[at]) - np.log(noise[at - 1]))))

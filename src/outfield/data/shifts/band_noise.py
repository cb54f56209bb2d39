from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Shift

RMS = (0.02, 0.04, 0.08, 0.12, 0.16)
"""Root mean square of the noise at severities 1 to 5, of the range of values: the same in every band."""


@dataclass(frozen=True)
class BandNoise(Shift):
    """Noise of one octave of spatial frequency on a picture of reduced contrast: what critical bands are found by [1].

    White noise keeps the frequencies from ``band / sqrt 2`` to ``band sqrt 2`` cycles per picture and is scaled to the
    severity's root mean square, so that every band bears the same energy. The picture's contrast is halved about .5
    before, so that few values leave [0, 1]; those that do are clipped.

    Parameters
    ----------
    band : float
        Centre of the octave, in cycles per picture side.

    Examples
    --------
    >>> grey = np.full((16, 16, 1), 0.5, np.float32)
    >>> round(float(BandNoise(band=2).apply(grey, 3, np.random.default_rng(0)).std()), 3)
    0.08

    References
    ----------
    [1] Subramanian, Sizikova, Majaj, Pelli. Spatial-frequency Channels, Shape Bias, and Adversarial Robustness.
    NeurIPS 2023.
    """

    band: float = 2.0

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        noise = band_limited(image.shape, self.band, rng) * RMS[severity - 1]
        return np.clip(0.5 + (image - 0.5) / 2 + noise, 0, 1).astype(np.float32)


def band_limited(shape: tuple[int, ...], band: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise [H, W, C] of one octave about ``band`` cycles per picture, mean 0 and root mean square 1 in each channel.

    A picture too small to have a frequency there gets the nearest that it has; one of a single pixel gets none.
    """
    rows, columns = (np.fft.fftfreq(n, 1 / n) for n in shape[:2])
    radius = np.hypot(rows[:, None], columns[None, :])
    kept = (radius >= band / sqrt(2)) & (radius < band * sqrt(2)) & (radius > 0)
    if radius.max() == 0:
        return np.zeros(shape)
    if not kept.any():
        away = np.abs(np.log(np.where(radius > 0, radius, np.inf) / band))
        kept = away == away.min()
    spectrum = np.fft.fft2(rng.standard_normal(shape), axes=(0, 1)) * kept[:, :, None]
    noise = np.fft.ifft2(spectrum, axes=(0, 1)).real
    return np.asarray(noise / np.sqrt((noise**2).mean(axis=(0, 1), keepdims=True)))

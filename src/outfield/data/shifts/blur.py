from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class Blur(Shift):
    """Gaussian blur of height and width, the edge mirrored [1].

    At severities 1 to 5 the standard deviation is .8, 1.1, 1.5, 2, 2.7 pixels at a side of 32, times
    ``sqrt(side / 32)`` at others, where the side is the shorter edge: 2.1 to 7.1 pixels at 224, .4 to 1.35 at 8.

    Examples
    --------
    >>> spot = np.zeros((9, 9, 1), np.float32)
    >>> spot[4, 4] = 1
    >>> round(float(Blur().apply(spot, 5, np.random.default_rng(0)).max()), 2)
    0.08

    References
    ----------
    [1] Hendrycks, Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations.
    ICLR 2019.
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        sigma = (0.8, 1.1, 1.5, 2.0, 2.7)[severity - 1] * (min(image.shape[:2]) / 32) ** 0.5
        blurred: NDArray[np.float32] = scipy.ndimage.gaussian_filter(image, sigma, axes=(0, 1))
        return np.clip(blurred, 0, 1)

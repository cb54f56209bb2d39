from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class GaussianNoise(Shift):
    """Independent noise on every value, ``x + s e`` with ``e ~ N(0, 1)``, clipped to [0, 1] [1].

    At severities 1 to 5, ``s`` is .06, .1, .15, .22, .3 of the range of values, at every size of picture: noise
    has no length scale.

    Examples
    --------
    >>> grey = np.full((8, 8, 1), 0.5, np.float32)
    >>> bool(GaussianNoise().apply(grey, 1, np.random.default_rng(0)).std() < 0.1)
    True

    References
    ----------
    [1] Hendrycks, Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations.
    ICLR 2019.
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        spread = (0.06, 0.1, 0.15, 0.22, 0.3)[severity - 1]
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + np.float32(spread) * noise, 0, 1)

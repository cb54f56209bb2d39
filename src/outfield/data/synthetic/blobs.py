from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import blur


@dataclass(frozen=True)
class Blobs(Generator):
    """Amorphous blobs: Bernoulli(.7) noise, blurred, and all below .75 set to 0 [1, 2].

    The blur wraps around; its standard deviation is drawn for each picture from 1.5, 2, 2.5, 3, 3.5, 4 pixels, times
    max(side / 224, 1/7).

    Examples
    --------
    >>> Blobs().draw(16, 3, np.random.default_rng(0)).shape
    (16, 16, 3)

    References
    ----------
    [1] Hendrycks, Mazeika, Dietterich. Deep Anomaly Detection with Outlier Exposure. ICLR 2019.
    [2] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    def draw(
        self,
        side: int,
        channels: int,
        rng: np.random.Generator,
        pictures: Sequence[NDArray[np.float32]] = (),
    ) -> NDArray[np.float32]:
        noise = rng.binomial(1, 0.7, (side, side, channels)).astype(np.float64)
        blurred = blur(noise, (1.5, 2, 2.5, 3, 3.5, 4), rng)
        return np.where(blurred < 0.75, 0, blurred).astype(np.float32)

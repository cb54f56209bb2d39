from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import low_frequencies


@dataclass(frozen=True)
class LowFrequency(Generator):
    """Uniform noise, blurred, then stretched to [0, 1] over all channels together [1].

    The blur wraps around; its standard deviation is drawn for each picture from 10, 15, 25, 40, 60, 85 pixels, times
    max(side / 224, 1/7).

    Examples
    --------
    >>> picture = LowFrequency().draw(16, 3, np.random.default_rng(0))
    >>> float(picture.min()), float(picture.max())
    (0.0, 1.0)

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    def draw(
        self,
        side: int,
        channels: int,
        rng: np.random.Generator,
        pictures: Sequence[NDArray[np.float32]] = (),
    ) -> NDArray[np.float32]:
        return low_frequencies((side, side, channels), rng, axis=None).astype(np.float32)

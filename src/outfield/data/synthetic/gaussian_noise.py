from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator


@dataclass(frozen=True)
class GaussianNoise(Generator):
    """Every value independent, normal about .5, clipped to [0, 1] [1].

    The standard deviation is drawn for each picture from .05, .075, .1, .15, .2, .3, .5 of the range of values;
    it has no length scale, so it does not change with the size.

    Examples
    --------
    >>> GaussianNoise().draw(16, 3, np.random.default_rng(0)).shape
    (16, 16, 3)

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
        spread = rng.choice((0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5))
        return np.clip(rng.normal(0.5, spread, (side, side, channels)), 0, 1).astype(np.float32)

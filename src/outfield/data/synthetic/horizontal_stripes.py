from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import stripes


@dataclass(frozen=True)
class HorizontalStripes(Generator):
    """Horizontal bands, each of a random colour (on one channel: a random grey) [1].

    The number of bands is drawn for each picture from 4, 5, 7, 10, 15, 20, as far as it is at most half the side.

    Examples
    --------
    >>> float(np.ptp(HorizontalStripes().draw(16, 3, np.random.default_rng(0)), axis=1).max())
    0.0

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
        return stripes(side, channels, rng)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import low_frequencies


@dataclass(frozen=True)
class LowFrequencyColourRange(Generator):
    """Uniform noise, blurred, then stretched in each channel to a random range of colours [1].

    The blur wraps around; its standard deviation is drawn for each picture from 10, 15, 25, 40, 60, 85 pixels, times
    max(side / 224, 1/7). The range has a centre from U(0, 1) for each channel and a half-width from U(.1, .3),
    clipped to [0, 1].

    Examples
    --------
    >>> LowFrequencyColourRange().draw(16, 3, np.random.default_rng(0)).shape
    (16, 16, 3)

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    colour_only: ClassVar[bool] = True

    def draw(
        self,
        side: int,
        channels: int,
        rng: np.random.Generator,
        pictures: Sequence[NDArray[np.float32]] = (),
    ) -> NDArray[np.float32]:
        centre, half_width = rng.random(channels), rng.uniform(0.1, 0.3)
        place = low_frequencies((side, side, channels), rng, axis=(0, 1))
        return np.clip(centre + half_width * (2 * place - 1), 0, 1).astype(np.float32)

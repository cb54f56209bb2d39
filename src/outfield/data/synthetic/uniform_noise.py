from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator


@dataclass(frozen=True)
class UniformNoise(Generator):
    """Every value independent, uniform on [0, 1] [1].

    Examples
    --------
    >>> UniformNoise().draw(16, 3, np.random.default_rng(0)).shape
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
        return rng.random((side, side, channels), dtype=np.float32)

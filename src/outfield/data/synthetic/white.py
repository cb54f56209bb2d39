from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator


@dataclass(frozen=True)
class White(Generator):
    """White all over: one picture, however often it is drawn [1].

    Examples
    --------
    >>> float(White().draw(8, 1, np.random.default_rng(0)).min())
    1.0

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
        return np.ones((side, side, channels), np.float32)

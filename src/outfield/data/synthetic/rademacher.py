from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator


@dataclass(frozen=True)
class Rademacher(Generator):
    """Every value independent, 0 or 1 with equal chance [1].

    Examples
    --------
    >>> sorted(set(Rademacher().draw(8, 1, np.random.default_rng(0)).flatten().tolist()))
    [0.0, 1.0]

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
        return rng.integers(0, 2, (side, side, channels)).astype(np.float32)

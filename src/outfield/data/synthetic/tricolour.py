from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import three_bands


@dataclass(frozen=True)
class Tricolour(Generator):
    """Three bands of equal width across a random direction, each of a random colour [1].

    Examples
    --------
    >>> len(np.unique(Tricolour().draw(16, 3, np.random.default_rng(0)).reshape(-1, 3), axis=0))
    3

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
        return three_bands(side, rng.random((3, channels)), rng)

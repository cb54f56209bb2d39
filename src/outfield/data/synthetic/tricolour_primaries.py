from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import three_bands


@dataclass(frozen=True)
class TricolourPrimaries(Generator):
    """Three bands of equal width across a random direction: red, green and blue in a random order [1].

    Examples
    --------
    >>> np.unique(TricolourPrimaries().draw(16, 3, np.random.default_rng(0)).reshape(-1, 3), axis=0).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]

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
        return three_bands(side, rng.permutation(np.eye(3)), rng)

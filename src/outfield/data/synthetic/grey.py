from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import plain


@dataclass(frozen=True)
class Grey(Generator):
    """One random grey all over, uniform on [0, 1] [1].

    Examples
    --------
    >>> len(np.unique(Grey().draw(8, 3, np.random.default_rng(0))))
    1

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
        return plain(side, np.repeat(rng.random(1), channels))

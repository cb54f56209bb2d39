from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import plain


@dataclass(frozen=True)
class Monochrome(Generator):
    """One random colour all over, uniform on the cube of colours [1].

    Examples
    --------
    >>> Monochrome().draw(16, 3, np.random.default_rng(0)).shape
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
        return plain(side, rng.random(channels))

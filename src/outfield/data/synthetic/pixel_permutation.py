from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Generator
from outfield.data.synthetic._patterns import permuted


@dataclass(frozen=True)
class PixelPermutation(Generator):
    """The pixels of a random ID picture in a random order, the channels of a pixel together [1].

    Examples
    --------
    >>> PixelPermutation().draw(16, 3, np.random.default_rng(0), [np.zeros((16, 16, 3), np.float32)]).shape
    (16, 16, 3)

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    needs_pictures: ClassVar[bool] = True

    def draw(
        self,
        side: int,
        channels: int,
        rng: np.random.Generator,
        pictures: Sequence[NDArray[np.float32]] = (),
    ) -> NDArray[np.float32]:
        return permuted(pictures[int(rng.integers(len(pictures)))], rng)

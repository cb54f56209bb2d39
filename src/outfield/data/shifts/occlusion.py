from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class Occlusion(Shift):
    """A mid-grey square at a random place hides a part of the picture [1].

    At severities 1 to 5 its edge is 2/8, 3/8, 4/8, 5/8, 6/8 of the shorter edge of the picture (6% to 56% of a
    square picture). The squares of one picture lie within one another.

    Examples
    --------
    >>> hidden = Occlusion().apply(np.zeros((16, 16, 1), np.float32), 3, np.random.default_rng(0))
    >>> int((hidden == 0.5).sum())
    64

    References
    ----------
    [1] DeVries, Taylor. Improved Regularization of Convolutional Neural Networks with Cutout. arXiv 1708.04552, 2017.
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        edge = max(1, round(min(image.shape[:2]) * (severity + 1) / 8))
        top, left = (int(place * (size - edge)) for place, size in zip(rng.random(2), image.shape[:2], strict=True))
        hidden = image.copy()
        hidden[top : top + edge, left : left + edge] = 0.5
        return hidden

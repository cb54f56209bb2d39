from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class Translation(Shift):
    """A move in a random direction, bilinear between pixels; what comes into view is black.

    At severities 1 to 5 its length is .05, .1, .15, .2, .25 of the shorter edge.

    Examples
    --------
    >>> Translation().apply(np.ones((16, 16, 1), np.float32), 5, np.random.default_rng(0)).min()
    np.float32(0.0)
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        length = (0.05, 0.1, 0.15, 0.2, 0.25)[severity - 1] * min(image.shape[:2])
        angle = rng.uniform(0, 2 * np.pi)
        offset = (length * np.sin(angle), length * np.cos(angle))
        moved = [
            scipy.ndimage.shift(plane, offset, order=1, mode="grid-constant") for plane in np.moveaxis(image, 2, 0)
        ]
        stacked: NDArray[np.float32] = np.stack(moved, axis=2)
        return np.clip(stacked, 0, 1)

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class Rotation(Shift):
    """Rotation about the centre, to the left or to the right, bilinear; what comes into view is black.

    At severities 1 to 5 the angle is 10, 20, 30, 45, 60 degrees, at every size of picture.

    Examples
    --------
    >>> spot = np.zeros((9, 9, 1), np.float32)
    >>> spot[4, 4] = 1
    >>> float(Rotation().apply(spot, 5, np.random.default_rng(0))[4, 4, 0])
    1.0
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        angle = (10, 20, 30, 45, 60)[severity - 1] * rng.choice((-1, 1))
        turned = [
            scipy.ndimage.rotate(plane, angle, reshape=False, order=1, mode="grid-constant")
            for plane in np.moveaxis(image, 2, 0)
        ]
        stacked: NDArray[np.float32] = np.stack(turned, axis=2)
        return np.clip(stacked, 0, 1)

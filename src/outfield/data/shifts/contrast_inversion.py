from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class ContrastInversion(Shift):
    """A blend of the picture and its negative, ``(1 - a) x + a (1 - x)``.

    At severities 1 to 5, ``a`` is .2, .4, .6, .8, 1: the contrast fades (60%, 20% of it are left), comes back
    inverted (20%, 60%), and is the full negative at 5. The same at every size of picture.

    Examples
    --------
    >>> dark = np.zeros((1, 1, 1), np.float32)
    >>> [round(float(ContrastInversion().apply(dark, s, np.random.default_rng(0)).item()), 1) for s in (1, 5)]
    [0.2, 1.0]
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        share = np.float32(severity / 5)
        return (1 - share) * image + share * (1 - image)

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Shift


@dataclass(frozen=True)
class Jpeg(Shift):
    """JPEG compression and back, by Pillow's encoder [1].

    At severities 1 to 5 the quality is 25, 18, 15, 10, 7, at every size of picture.

    Examples
    --------
    >>> bool(Jpeg().apply(np.zeros((8, 8, 3), np.float32), 5, np.random.default_rng(0)).max() < 0.02)
    True

    References
    ----------
    [1] Hendrycks, Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations.
    ICLR 2019.
    """

    def apply(self, image: NDArray[np.float32], severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
        from PIL import Image

        quality = (25, 18, 15, 10, 7)[severity - 1]
        pixels = np.rint(image * 255).astype(np.uint8)
        buffer = BytesIO()
        Image.fromarray(pixels.squeeze(2) if image.shape[2] == 1 else pixels).save(buffer, "JPEG", quality=quality)
        decoded: NDArray[np.float32] = np.asarray(Image.open(buffer), np.float32).reshape(image.shape)
        return decoded / np.float32(255)

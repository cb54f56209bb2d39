from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outfield.data import sampling, views
from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._package_files import enlarged, shipped
from outfield.errors import UserError


@dataclass(frozen=True)
class Digits(Source):
    """Scans of handwritten digits that scikit-learn ships: 1,797 grey pictures of 8 x 8 pixels, 17 levels [1].

    The levels 0 to 16 become 0 to 255; 8 x 8 pixels are enlarged to ``side`` bicubically.

    Parameters
    ----------
    classes : tuple of int
        The digits to keep; labels are counted anew 0, 1, ... in this order.
    part : {"all", "fit", "val", "test"}
        Disjoint shares .5, .25, .25 of each class in an order set by ``seed``.
    side : int
    seed : int

    Examples
    --------
    >>> near = Digits(classes=(8,)).load()
    >>> len(near), near.classes, near.read(slice(0, 1)).shape
    (174, ('8',), (1, 16, 16, 1))

    References
    ----------
    [1] Alpaydin, Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998.
    """

    classes: tuple[int, ...] = tuple(range(10))
    part: str = "all"
    side: int = 16
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        shares = {"fit": (0.0, 0.5), "val": (0.5, 0.75), "test": (0.75, 1.0), "all": (0.0, 1.0)}
        if self.part not in shares:
            raise UserError(f"Expected a part among {', '.join(shares)}, but got {self.part!r}. Choose one of them.")
        scans = ArrayDataset(*_scans(), classes=list("0123456789"))
        chosen = sampling.between(views.of_classes(scans, self.classes), *shares[self.part], seed=self.seed)
        pictures = [enlarged(Image.fromarray(scan.squeeze(2)), self.side) for scan in chosen.read(slice(None))]
        return ArrayDataset(np.stack(pictures), chosen.labels, chosen.classes)


@cache
def _scans() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    table = np.loadtxt(shipped("sklearn", "datasets", "data", "digits.csv.gz"), delimiter=",")
    levels = np.rint(table[:, :-1] * 255 / 16).astype(np.uint8)
    return levels.reshape(-1, 8, 8), table[:, -1].astype(np.int64)

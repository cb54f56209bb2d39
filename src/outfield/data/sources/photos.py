from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._package_files import crops, shipped
from outfield.errors import UserError


@dataclass(frozen=True)
class Photos(Source):
    """Square cuts at random places of a photograph that scikit-learn ships.

    Parameters
    ----------
    photo : {"china", "flower"}
    n : int
        How many cuts.
    side, channels : int
        Their size, and 1 (grey, ITU-R 601 luma) or 3 channels.
    edges : pair of int
        Least and greatest edge of a cut in the photograph (427 x 640 pixels), before it is made small.
    detail : int, optional
        Make a cut this small first, then enlarge it bicubically to ``side``: as coarse as data that were enlarged.
    region : {"whole", "left", "right"}
        The part of the photograph to cut from: cuts of the left and of the right half share no pixel.
    seed : int

    Examples
    --------
    >>> Photos("china", n=5).load().read(slice(None)).shape
    (5, 16, 16, 1)
    """

    photo: str = "china"
    n: int = 300
    side: int = 16
    channels: int = 1
    edges: tuple[int, int] = (40, 160)
    detail: int | None = None
    region: str = "whole"
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        if self.photo not in ("china", "flower") or self.region not in ("whole", "left", "right"):
            raise UserError(
                "Expected photo china or flower and region whole, left or right, "
                f"but got {self.photo!r} and {self.region!r}. Choose among them."
            )
        photograph = Image.open(shipped("sklearn", "datasets", "images", f"{self.photo}.jpg"))
        pixels = np.asarray(photograph.convert("L" if self.channels == 1 else "RGB"))
        middle = pixels.shape[1] // 2
        region = {"whole": slice(None), "left": slice(middle), "right": slice(middle, None)}[self.region]
        return ArrayDataset(
            crops(pixels[:, region], self.n, self.edges, side=self.side, detail=self.detail, seed=self.seed)
        )

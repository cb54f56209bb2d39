from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from outfield import registry
from outfield.data.base import Dataset, Generator, Source, row_rng
from outfield.data.datasets import ArrayDataset
from outfield.data.pictures import as_float, eight_bit
from outfield.errors import UserError


@dataclass(frozen=True)
class Synthetic(Source):
    """Synthetic unit tests, pooled: pictures that hold no object [1].

    ``parts`` of the data set holds the test's name for each row; ``left_out`` names the tests that are not
    defined here (about colour alone on one channel, or made from ID pictures when none are given).

    Parameters
    ----------
    names : tuple of str, optional
        The tests; all of ``outfield list synthetic`` when None.
    each : int
        Pictures of each test.
    side, channels : int
    pictures : Source, optional
        ID pictures, brought to ``side`` and ``channels``, for the tests that permute them; the first 1,000 serve.
    seed : int

    Raises
    ------
    UserError
        No test is left; or a test is asked for by name that is not defined here.

    Examples
    --------
    >>> pool = Synthetic(("grey", "blobs"), each=2, side=8).load()
    >>> len(pool), pool.parts.tolist()
    (4, ['grey', 'grey', 'blobs', 'blobs'])

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """

    names: tuple[str, ...] | None = None
    each: int = 400
    side: int = 32
    channels: int = 1
    pictures: Source | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> Sequence[Path] | None:
        return () if self.pictures is None else self.pictures.files()

    def load(self) -> Dataset:
        tests = {name: registry.create("synthetic", name) for name in self.names or registry.names("synthetic")}
        reasons = {name: self._why_not(test) for name, test in tests.items()}
        absent = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
        drawn = [name for name, reason in reasons.items() if not reason]
        if absent and (self.names or not drawn):
            raise UserError(f"Expected tests that are defined here, but got {'; '.join(absent)}. Leave them out.")
        sources = self._pictures()
        pool = np.stack([self._one(name, tests[name], row, sources) for name in drawn for row in range(self.each)])
        return ArrayDataset(pool, parts=np.repeat(drawn, self.each), left_out=absent)

    def _why_not(self, test: Generator) -> str:
        if test.colour_only and self.channels == 1:
            return "is about colour alone, and there is one channel"
        return "permutes ID pictures, and none are given" if test.needs_pictures and self.pictures is None else ""

    def _pictures(self) -> Sequence[NDArray[np.float32]]:
        if self.pictures is None:
            return ()
        return [_fitted(picture, self.side, self.channels) for picture in self.pictures.load().read(slice(0, 1000))]

    def _one(self, name: str, test: Generator, row: int, pictures: Sequence[NDArray[np.float32]]) -> NDArray[np.uint8]:
        return eight_bit(test.draw(self.side, self.channels, row_rng(name, self.seed, row), pictures))


def _fitted(picture: NDArray[np.uint8], side: int, channels: int) -> NDArray[np.float32]:
    pixels = eight_bit(as_float(picture))
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    fitted = image.convert("L" if channels == 1 else "RGB").resize((side, side), Image.Resampling.BILINEAR)
    return as_float(np.asarray(fitted).reshape(side, side, channels))

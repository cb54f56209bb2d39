from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from outfield.data import sampling, views
from outfield.data.base import Dataset, Source, row_rng
from outfield.data.datasets import ArrayDataset
from outfield.data.pictures import as_float, eight_bit
from outfield.data.sources._wilds import EVERY, SPLITS
from outfield.data.sources.digits import Digits
from outfield.errors import UserError

Picture: TypeAlias = NDArray[np.float32]
Style: TypeAlias = Callable[[Picture, int, np.random.Generator], Picture]

_SHARES = {
    "train": (0.0, 0.5),
    "id_val": (0.5, 0.6),
    "id_test": (0.6, 0.75),
    "val": (0.75, 0.85),
    "test": (0.85, 1.0),
} | {EVERY: (0.0, 1.0)}
_STAINS = ((0.9, 0.3, 0.5), (0.8, 0.4, 0.7), (0.9, 0.5, 0.4), (0.4, 0.9, 0.4), (0.1, 0.3, 0.9))
_CUE = {"train": 0.95, "id_val": 0.95, "id_test": 0.95, "val": 0.5, "test": 0.1, EVERY: 0.5}
"""How often the colour agrees with the label."""
_RARE = {"train": 0.05, "id_val": 0.05, "id_test": 0.05, "val": 0.5, "test": 0.5, EVERY: 0.5}
"""The share of the rare subpopulation."""


@dataclass(frozen=True)
class Domains(Source):
    """Digits of several domains, in the splits of WILDS: five small sets that need no download [1].

    * ``site``: every site has a background and a contrast of its own.
    * ``stain``: every site colours strokes and ground in its own way.
    * ``drift``: in ten years strokes turn, blur and fade.
    * ``subpopulation``: one input in twenty, OOD one in two, lies on its side.
    * ``spurious``: below 5 or not; a colour agrees in 95%, OOD in 50 and 10%.

    The last two of five sites are new; training ends after five years.

    The groups are site, year, subpopulation; of ``spurious`` colour and label. Splits share no digit.

    Parameters
    ----------
    kind : {"site", "stain", "drift", "subpopulation", "spurious"}
    split : {"train", "id_val", "id_test", "val", "test", "all"}
        The first three are of the training domains, the next two of others; ``all`` are all digits, as many of each
        domain.
    side : int
    seed : int

    Examples
    --------
    >>> train, test = Domains("site").load(), Domains("site", "test").load()
    >>> np.unique(train.groups), np.unique(test.groups), test.group_names[-1], test.read(slice(0, 1)).shape
    (array([0, 1, 2]), array([4]), 'site 4', (1, 16, 16, 3))

    References
    ----------
    [1] Koh, Sagawa et al. WILDS: A Benchmark of in-the-Wild Distribution Shifts. ICML 2021.
    """

    kind: str = "site"
    split: str = "train"
    side: int = 16
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def __post_init__(self) -> None:
        for name, value, known in (("kind", self.kind, tuple(_STYLES)), ("split", self.split, (*SPLITS, EVERY))):
            if value not in known:
                raise UserError(f"Expected a {name} among {', '.join(known)}, but got {value!r}. Choose one of them.")

    def whole(self) -> Domains:
        return replace(self, split=EVERY)

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        digits = sampling.between(Digits(side=self.side).load(), *_SHARES[self.split], seed=self.seed)
        labels = np.asarray(digits.labels)
        labels, classes = (labels // 5, ("0 to 4", "5 to 9")) if self.kind == "spurious" else (labels, digits.classes)
        chances = [row_rng(f"{self.kind} {self.split}", self.seed, row) for row in range(len(digits))]
        domains = np.array([_domain(self.kind, self.split, *one) for one in zip(labels, chances, strict=True)])
        style = _STYLES[self.kind]
        pictures = [
            eight_bit(np.clip(style(as_float(picture), domain, rng), 0, 1).astype(np.float32))
            for picture, domain, rng in zip(digits.read(slice(None)), domains.tolist(), chances, strict=True)
        ]
        names = _names(self.kind)
        groups = domains * 2 + labels if self.kind == "spurious" else domains
        return views.in_groups(ArrayDataset(np.stack(pictures), labels, classes), groups, names)


def _domain(kind: str, split: str, label: int, rng: np.random.Generator) -> int:
    """The domain of one input: a site, a year, a subpopulation, a colour."""
    if kind in ("site", "stain"):
        return {"val": 3, "test": 4}.get(split, int(rng.integers(5 if split == EVERY else 3)))
    if kind == "drift":
        return int(rng.integers(*{"val": (5, 7), "test": (7, 10), EVERY: (0, 10)}.get(split, (0, 5))))
    if kind == "subpopulation":
        return int(rng.random() < _RARE[split])
    return int(label) if rng.random() < _CUE[split] else 1 - int(label)


def _names(kind: str) -> tuple[str, ...]:
    if kind == "spurious":
        return tuple(f"{colour}, {digits}" for colour in ("red", "green") for digits in ("0 to 4", "5 to 9"))
    if kind == "subpopulation":
        return ("upright", "on its side")
    return tuple(f"year {one}" for one in range(10)) if kind == "drift" else tuple(f"site {one}" for one in range(5))


def _site(picture: Picture, site: int, rng: np.random.Generator) -> Picture:
    """The digit, in the site's contrast, on the site's background, which lies elsewhere in every picture."""
    of_site = np.random.default_rng([17, site])
    noise, width = of_site.random((*picture.shape[:2], 3)), 0.4 + 0.5 * site
    ground = scipy.ndimage.gaussian_filter(noise, (width, width, 0), mode="wrap")
    ground = (ground - ground.min()) / np.ptp(ground)
    moved = np.roll(ground, tuple(rng.integers(0, len(ground), 2)), axis=(0, 1))
    stroke = picture * (1.0 - 0.12 * site)
    return np.asarray(np.maximum(stroke, (0.2 + 0.1 * site) * moved), np.float32)


def _stain(picture: Picture, site: int, rng: np.random.Generator) -> Picture:
    """Strokes take the site's colour, more or less of it, on a ground of its complement."""
    colour = np.array(_STAINS[site], np.float32)
    ground = 0.2 * site / 4 * (1 - colour)
    strength = 0.7 + 0.3 * rng.random()
    return np.asarray(picture * colour * strength + (1 - picture) * ground, np.float32)


def _drift(picture: Picture, year: int, rng: np.random.Generator) -> Picture:
    """Each year strokes turn by 4 degrees, blur and fade a little more."""
    turned = scipy.ndimage.rotate(picture, 4.0 * year + rng.normal(0, 3), axes=(0, 1), reshape=False, order=1)
    blurred = scipy.ndimage.gaussian_filter(turned, 0.08 * year * len(picture) / 16, axes=(0, 1))
    return np.repeat(blurred * (1 - 0.06 * year), 3, axis=2)


def _subpopulation(picture: Picture, rare: int, _: np.random.Generator) -> Picture:
    return np.repeat(0.5 * np.rot90(picture) if rare else picture, 3, axis=2)


def _spurious(picture: Picture, colour: int, _: np.random.Generator) -> Picture:
    return picture * np.array([(1, 0.2, 0.2), (0.2, 1, 0.2)][colour], np.float32)


_STYLES: dict[str, Style] = {
    "site": _site,
    "stain": _stain,
    "drift": _drift,
    "subpopulation": _subpopulation,
    "spurious": _spurious,
}

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError

Numbers: TypeAlias = NDArray[np.float64]
SHAPES = ("circle", "square", "triangle", "cross", "ring", "diamond", "star", "moon")
COLOURS = {
    "red": (0.9, 0.15, 0.15),
    "green": (0.15, 0.75, 0.2),
    "blue": (0.15, 0.3, 0.95),
    "yellow": (0.95, 0.9, 0.15),
    "purple": (0.6, 0.15, 0.8),
    "orange": (0.95, 0.5, 0.1),
    "pink": (0.95, 0.55, 0.75),
    "cyan": (0.2, 0.85, 0.9),
}
TEXTURES = ("plain", "striped", "dotted", "checked")
PLACES = {"middle": (0.0, 0.0), "left": (0.0, -0.4), "right": (0.0, 0.4), "top": (-0.4, 0.0), "bottom": (0.4, 0.0)}
DOMAINS = ("dark", "bright", "noisy", "faded", "outline")
ATTRIBUTES = {"shape": SHAPES, "colour": tuple(COLOURS), "texture": TEXTURES, "place": tuple(PLACES)}
"""What a scene is made of; words of captions."""


@dataclass(frozen=True)
class Scenes(Source):
    """Rendered scenes: one object of some shape, colour, texture and place, on a background that may be cluttered.

    A class is the words that are true of its scenes: ``red circle``, ``striped star``, ``moon left``. What its words
    leave open is drawn. Groups are the domains, the look of a scene: ``dark`` and ``bright`` backgrounds, ``noisy``
    pixels, ``faded`` contrast, an ``outline`` instead of an area. Pictures are 24 x 24 pixels in colour.

    Parameters
    ----------
    classes : tuple of str
        Words of shapes (circle, square, triangle, cross, ring, diamond, star, moon), colours (red, green, blue,
        yellow, purple, orange, pink, cyan), textures (plain, striped, dotted, checked) and places (middle, left,
        right, top, bottom), at most one of each kind.
    n : int
        How many pictures, the same number of each class or one more.
    domains : tuple of str
    clutter : int
        Grey lines and blobs in the background.
    size : tuple of float
        Smallest and largest radius of the object, over half the picture's side.
    seed : int

    Examples
    --------
    >>> scenes = Scenes(classes=("red circle", "striped star"), n=4).load()
    >>> scenes.read(slice(0, 1)).shape, scenes.labels.tolist()
    ((1, 24, 24, 3), [0, 1, 0, 1])
    """

    classes: tuple[str, ...] = SHAPES
    n: int = 400
    domains: tuple[str, ...] = ("dark",)
    clutter: int = 0
    size: tuple[float, float] = (0.3, 0.6)
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        self._check()
        rng = np.random.default_rng([self.seed, zlib.crc32(b"scenes")])
        labels = np.arange(self.n) % len(self.classes)
        wanted = [attributes_of(name) for name in self.classes]
        scenes = {kind: rng.integers(len(words), size=self.n) for kind, words in ATTRIBUTES.items()}
        for kind, found in scenes.items():
            fixed = np.array([own.get(kind, -1) for own in wanted])[labels]
            scenes[kind] = np.where(fixed >= 0, fixed, found)
        groups = rng.integers(len(self.domains), size=self.n)
        domain = np.array([DOMAINS.index(name) for name in self.domains])[groups]
        pictures = rendered(scenes, domain, rng, clutter=self.clutter, size=self.size)
        return ArrayDataset(pictures, labels, self.classes, groups=groups, group_names=self.domains)

    def _check(self) -> None:
        if self.n < 1 or not self.classes:
            raise UserError(f"Expected n >= 1 pictures of some classes, but got {self.n} of {len(self.classes)}.")
        if unknown := sorted(set(self.domains) - set(DOMAINS)):
            raise UserError(f"Expected domains among {', '.join(DOMAINS)}, but got {', '.join(unknown)}.")
        if not self.domains or not 0 < self.size[0] <= self.size[1] <= 1 or self.clutter < 0:
            raise UserError(
                f"Expected some domains, sizes 0 < smallest <= largest <= 1 and clutter >= 0, but got {self.domains}, "
                f"{self.size} and {self.clutter}. Correct them."
            )


def attributes_of(name: str) -> dict[str, int]:
    """The attributes that a class fixes, by kind.

    Raises
    ------
    UserError
        A word of no scene, or two of one kind.

    Examples
    --------
    >>> attributes_of("striped red circle")
    {'shape': 0, 'colour': 0, 'texture': 1}
    """
    words = name.split()
    found = {kind: [known.index(word) for word in words if word in known] for kind, known in ATTRIBUTES.items()}
    if sum(map(len, found.values())) < len(words) or any(len(own) > 1 for own in found.values()) or not words:
        raise UserError(
            f"Expected words of scenes, at most one of each kind, but got {name!r}. Known are "
            + "; ".join(f"{kind}: {', '.join(known)}" for kind, known in ATTRIBUTES.items())
            + "."
        )
    return {kind: own[0] for kind, own in found.items() if own}


SIDE = 24


def rendered(
    scenes: dict[str, NDArray[np.int64]],
    domain: NDArray[np.int64],
    rng: np.random.Generator,
    clutter: int = 0,
    size: tuple[float, float] = (0.3, 0.6),
) -> NDArray[np.uint8]:
    """Pictures [n, 24, 24, 3] of scenes, whose attributes and domains [n] are numbers."""
    n = len(domain)
    place = np.array(list(PLACES.values()))[scenes["place"]] + rng.uniform(-0.12, 0.12, (n, 2))
    radius = rng.uniform(*size, n)
    u, v = _own_axes(place, radius, rng.uniform(-0.3, 0.3, n))
    mask = _inside(scenes["shape"], u, v)
    core = _inside(scenes["shape"], u / 0.65, v / 0.65)
    mask = np.where((domain == DOMAINS.index("outline"))[:, None, None], mask & ~core, mask)
    colour = np.array(list(COLOURS.values()))[scenes["colour"]] + rng.uniform(-0.08, 0.08, (n, 3))
    ink = colour[:, None, None] * _pattern(scenes["texture"], u, v, radius)[..., None]
    canvas = _background(domain, clutter, rng)
    canvas = np.where(mask[..., None], ink, canvas)
    faded = (domain == DOMAINS.index("faded"))[:, None, None, None]
    canvas = np.where(faded, 0.5 + 0.4 * (canvas - 0.5), canvas)
    spread = np.where(domain == DOMAINS.index("noisy"), 0.2, 0.03)[:, None, None, None]
    return np.rint(255 * np.clip(canvas + spread * rng.standard_normal(canvas.shape), 0, 1)).astype(np.uint8)


def _own_axes(place: Numbers, radius: Numbers, angle: Numbers) -> tuple[Numbers, Numbers]:
    """Coordinates [n, side, side] of the pixels as an object of radius 1 at the origin sees them."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y = (axis[:, None] - place[:, 0, None, None]) / radius[:, None, None]
    x = (axis[None, :] - place[:, 1, None, None]) / radius[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * x - sin * y, sin * x + cos * y


def _inside(shape: NDArray[np.int64], u: Numbers, v: Numbers) -> NDArray[np.bool_]:
    r, across, along = np.hypot(u, v), abs(u), abs(v)
    areas = [
        r < 1,
        np.maximum(across, along) < 0.85,
        (v < 0.75) & (v > 1.9 * across - 1),
        (np.minimum(across, along) < 0.32) & (np.maximum(across, along) < 1),
        (r < 1) & (r > 0.55),
        across + along < 1.1,
        r < 0.62 + 0.38 * np.cos(5 * np.arctan2(u, -v)),
        (r < 1) & (np.hypot(u - 0.55, v) > 0.75),
    ]
    return np.choose(shape[:, None, None], areas)


def _pattern(texture: NDArray[np.int64], u: Numbers, v: Numbers, radius: Numbers) -> Numbers:
    """How bright the ink is: 1, and less where the pattern is. Its scale is the picture's, not the object's."""
    waves_u, waves_v = (np.sin(13 * axis * radius[:, None, None]) for axis in (u, v))
    dark = [np.zeros(u.shape, bool), waves_v > 0.2, (waves_u > 0.3) & (waves_v > 0.3), waves_u * waves_v > 0]
    return np.where(np.choose(texture[:, None, None], dark), 0.3, 1.0)


def _background(domain: NDArray[np.int64], clutter: int, rng: np.random.Generator) -> Numbers:
    n = len(domain)
    level = np.where(domain == DOMAINS.index("bright"), 0.85, 0.15) + rng.uniform(-0.1, 0.1, n)
    canvas = np.broadcast_to(level[:, None, None], (n, SIDE, SIDE)).copy()
    for _ in range(clutter):
        u, v = _own_axes(rng.uniform(-1, 1, (n, 2)), rng.uniform(0.15, 0.35, n), rng.uniform(-1.6, 1.6, n))
        line = rng.random(n)[:, None, None] < 0.5
        grey = rng.uniform(0.2, 0.8, n)[:, None, None]
        canvas = np.where(np.where(line, (abs(v) < 0.3) & (abs(u) < 2.5), np.hypot(u, v) < 0.9), grey, canvas)
    return np.repeat(canvas[..., None], 3, axis=3)

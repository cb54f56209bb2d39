from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from outfield.data import views
from outfield.data.base import Dataset, Source, row_rng
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._package_files import enlarged, shipped, with_channels
from outfield.errors import UserError

_FONTS = {
    "text": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono", "STIXGeneral"),
    "symbols": ("DejaVuSans", "DejaVuSans-Bold"),
}


@dataclass(frozen=True)
class Glyphs(Source):
    """Printed glyphs, white on black, from the fonts that matplotlib ships, at random sizes, places and slants.

    Kinds: ``letters`` (Latin, without O, o, Q, I, l and i, which look like 0 and 1), ``scripts`` (Greek, Cyrillic,
    Armenian and Georgian letters, without the rounder ones; a few still resemble digits), ``symbols`` (arrows,
    mathematical operators, geometric shapes, signs), and ``digits``: the ten digits in print, with their labels, a
    covariate shift for handwriting. The darkest value of a picture is black and the lightest white.

    Parameters
    ----------
    kind : {"letters", "scripts", "symbols", "digits"}
    n : int
        How many pictures.
    side, channels : int
    classes : tuple of int, optional
        Keep these labels, counted anew in this order; the others are drawn and left out.
    detail : int, optional
        Render this small first, then enlarge bicubically to ``side``: as coarse as data that were enlarged.
    seed : int

    Examples
    --------
    >>> printed = Glyphs("digits", n=20).load()
    >>> printed.read(slice(0, 2)).shape, printed.classes[:3]
    ((2, 16, 16, 1), ('0', '1', '2'))
    """

    kind: str = "letters"
    n: int = 300
    side: int = 16
    channels: int = 1
    classes: tuple[int, ...] | None = None
    detail: int | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        alphabet = _alphabet(self.kind)
        if self.n < 1:
            raise UserError(f"Expected n >= 1 pictures, but got {self.n}. Ask for at least one.")
        drawn = [self._picture(alphabet, row) for row in range(self.n)]
        pictures = with_channels(np.stack([picture for picture, _ in drawn]), self.channels)
        whole = ArrayDataset(pictures, [label for _, label in drawn], classes=alphabet)
        return whole if self.classes is None else views.of_classes(whole, self.classes)

    def _picture(self, alphabet: tuple[str, ...], row: int) -> tuple[NDArray[np.uint8], int]:
        rng = row_rng(f"glyphs {self.kind}", self.seed, row)
        label = int(rng.integers(len(alphabet)))
        fonts = _FONTS["symbols" if self.kind in ("symbols", "scripts") else "text"]
        font = fonts[int(rng.integers(len(fonts)))]
        return _rendered(alphabet[label], font, self.detail or self.side, self.side, rng), label


_FINE = 64
"""Pixels that a glyph is drawn at before it is made small."""


def _rendered(glyph: str, font: str, small: int, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    ink = _ink(glyph, font).rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, expand=True)
    height = rng.uniform(0.7, 1.0) * _FINE
    scale = height / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), Image.Resampling.BILINEAR)
    canvas = Image.new("L", (_FINE, _FINE))
    canvas.paste(ink, (int(rng.integers(_FINE - ink.width + 1)), int(rng.integers(_FINE - ink.height + 1))))
    return enlarged(ImageOps.autocontrast(canvas.resize((small, small), Image.Resampling.BOX)), side)


@cache
def _ink(glyph: str, font: str) -> Image.Image:
    face = _font(font)
    box = face.getbbox(glyph)
    image = Image.new("L", (int(box[2] - box[0]), int(box[3] - box[1])))
    ImageDraw.Draw(image).text((-box[0], -box[1]), glyph, fill=255, font=face)
    return image


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    path: Path = shipped("matplotlib", "mpl-data", "fonts", "ttf", f"{name}.ttf")
    return ImageFont.truetype(path, _FINE)


def _alphabet(kind: str) -> tuple[str, ...]:
    if kind not in _ALPHABETS:
        raise UserError(f"Expected a kind among {', '.join(_ALPHABETS)}, but got {kind!r}. Choose one of them.")
    return _ALPHABETS[kind]


def _letters(first: int, last: int, without: str) -> tuple[str, ...]:
    return tuple(
        chr(point)
        for point in range(first, last + 1)
        if unicodedata.category(chr(point)) in ("Lu", "Ll", "Lo") and chr(point) not in without
    )


_ALPHABETS = {
    "letters": (*_letters(0x41, 0x7A, without="OoQIli"),),
    "scripts": (
        *_letters(0x391, 0x3C9, without="ΟΘοσθιΙ"),
        *_letters(0x410, 0x44F, without="ОоЗзб"),
        *_letters(0x531, 0x556, without="\u0555"),
        *_letters(0x10D0, 0x10F0, without="ი"),
    ),
    "symbols": (
        *map(chr, range(0x2190, 0x21A0)),
        *"∀∂∃∅∆∇∈∉∏∑√∞∠∧\u2228∩\u222a∫≈≠≡≤≥⊂⊃⊕⊗⊥",
        *"■□▣▤▥▦▧▨▩▲△▶▷▼▽◀◁◆◇◈",
        *"★☆☎☠☢☮☯☺☼☾♀♂♔♕♖♘♠♣♥♦♪♫⚑⚙✂✈✉✓✗",
    ),
    "digits": tuple("0123456789"),
}

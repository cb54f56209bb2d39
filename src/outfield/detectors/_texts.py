"""What detectors share that read embeddings of texts: words by list, and the temperature of a model's own logits."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

from torch import Tensor

from outfield.data.sources.scenes import COLOURS, SHAPES, TEXTURES
from outfield.errors import UserError
from outfield.types import Head

Words = str | tuple[str, ...]
NOUNS: Final = Path(__file__).with_name("nouns.txt")
"""Common English nouns."""


def scenes() -> tuple[str, ...]:
    """Names of the objects of rendered scenes, with a colour, a texture, both or none.

    Examples
    --------
    >>> len(scenes()), scenes()[0], scenes()[-1]
    (360, 'circle', 'checked cyan moon')
    """
    before = [*COLOURS, *TEXTURES, *(" ".join(pair) for pair in product(TEXTURES, COLOURS))]
    return (*SHAPES, *(f"{words} {shape}" for words in before for shape in SHAPES))


def words_of(words: Words) -> tuple[str, ...]:
    """The words of a list: those given, ``nouns``, ``scenes``, or a file with one word or phrase a line.

    Raises
    ------
    UserError
        No such list, or an empty one.

    Examples
    --------
    >>> words_of(("cup", "sky", "cup")), len(words_of("nouns")) > 400
    (('cup', 'sky'), True)
    """
    if isinstance(words, str):
        words = scenes() if words == "scenes" else _read(NOUNS if words == "nouns" else Path(words))
    if not words:
        raise UserError("Expected a list of words, but got an empty one. Give words, `nouns`, `scenes` or a file.")
    return tuple(dict.fromkeys(words))


def _read(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise UserError(
            f"Expected words, `nouns`, `scenes`, or a file with one word a line, but there is no file {str(path)!r}. "
            "Check the name."
        )
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def own_temperature(head: Head) -> Tensor:
    """One over the scale of a head of texts: the temperature that makes its cosines the model's logits.

    Examples
    --------
    >>> import torch
    >>> own_temperature(Head(100 * torch.eye(2), torch.zeros(2)))
    tensor(0.0100, dtype=torch.float64)
    """
    temperature: Tensor = 1 / head.weight.double().norm(dim=1).mean().clamp_min(1e-12)
    return temperature

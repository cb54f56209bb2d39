from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.errors import UserError


@dataclass(frozen=True)
class WordSalad(Source):
    """Texts without a sentence in them: the words of another source's texts, mixed.

    ``any`` draws every word from all texts, each as often as it is written there: length and frequencies of words
    stay, and what a text says is gone. ``own`` puts the words of each text into another order: what a bag of words
    sees stays as well; texts of one word alone are left out. They have no labels.

    Parameters
    ----------
    of : Source, or the mapping that names one
        Single texts.
    words : {"any", "own"}
    seed : int

    Raises
    ------
    UserError
        What is no source, or holds other items than texts.

    Examples
    --------
    >>> WordSalad("films")
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a source of texts to mix the words of, but got 'films'. Name one with ...
    """

    of: Source
    words: Literal["any", "own"] = "any"
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(
                f"Expected a source of texts to mix the words of, but got {self.of!r}. Name one with its parameters."
            )

    def files(self) -> Sequence[Path] | None:
        return self.of.files()

    def load(self) -> Dataset:
        items = self.of.load().read(slice(None))
        if other := next((item for item in items if not isinstance(item, str)), None):
            raise UserError(
                f"Expected single texts to mix the words of, but got {other!r:.60}. Name a source of texts."
            )
        chance, texts = np.random.default_rng(self.seed), [item.split() for item in items]
        every = np.array([word for words in texts for word in words])
        if self.words == "any":
            return ListDataset([" ".join(chance.choice(every, len(words))) for words in texts])
        mixed = [_reordered(words, chance) for words in texts if len(set(words)) > 1]
        left_out = len(texts) - len(mixed)
        return ListDataset(mixed, left_out=[f"{left_out:,} texts of one word"] if left_out else ())


def _reordered(words: list[str], chance: np.random.Generator) -> str:
    """The words in another order than theirs."""
    order = [words[place] for place in chance.permutation(len(words))]
    return " ".join(order if order != words else words[1:] + words[:1])

"""Texts without a sentence in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ListDataset
from outfield.data.sources.word_salad import WordSalad
from outfield.errors import UserError

TEXTS = [f"what is the balance of my account number {n}" for n in range(40)] + ["yes", "no no", "a b"]


@dataclass(frozen=True)
class Some(Source):
    pairs: bool = False

    def load(self) -> Dataset:
        return ListDataset([(text, text) for text in TEXTS] if self.pairs else TEXTS, labels=[0] * len(TEXTS))


def test_own_words_stay_and_their_order_does_not() -> None:
    found = WordSalad(Some(), words="own").load()
    items = found.read(slice(None))
    kept = [text for text in TEXTS if len(set(text.split())) > 1]
    assert [Counter(one.split()) for one in items] == [Counter(text.split()) for text in kept]
    assert all(one != text for one, text in zip(items, kept, strict=True))
    assert found.left_out == ("2 texts of one word",) and found.labels is None


def test_words_of_any_text_keep_lengths_and_frequencies() -> None:
    items = WordSalad(Some()).load().read(slice(None))
    assert [len(one.split()) for one in items] == [len(text.split()) for text in TEXTS]
    drawn, written = (Counter(word for one in some for word in one.split()) for some in (items, TEXTS))
    assert set(drawn) <= set(written)
    assert abs(drawn["account"] - written["account"]) < 4 * written["account"] ** 0.5


def test_the_seed_decides() -> None:
    one, again, other = (WordSalad(Some(), seed=seed).load().digest() for seed in (0, 0, 1))
    assert one == again != other


def test_pairs_are_refused() -> None:
    with pytest.raises(UserError, match="single texts"):
        WordSalad(Some(pairs=True)).load()

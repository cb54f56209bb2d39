"""Texts as the tasks that read them train on them and measure them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outfield import keys
from outfield.data.member import Member

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.pairs import PairClassifier
    from outfield.types import Batch


@dataclass(frozen=True)
class Texts:
    """Texts as training draws them: pairs, of which the second text of a single one is empty.

    Examples
    --------
    >>> import torch
    >>> texts = Texts((("It rains.", "It is wet."), ("Hello.", "")))
    >>> len(texts), list(texts[torch.tensor([1])])
    (2, [('Hello.', '')])
    """

    items: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def __getitem__(self, rows: Tensor | slice) -> Texts:
        import torch

        return Texts(tuple(self.items[row] for row in torch.arange(len(self))[rows].tolist()))

    def digest(self) -> str:
        """Content key."""
        return keys.key(pairs=self.items)


def holds_texts(member: Member) -> bool:
    """Whether the items of a set are texts, or pairs of texts.

    Examples
    --------
    >>> from outfield.data.datasets import ListDataset
    >>> holds_texts(Member("films", "test", ListDataset(["a film", "a play"])))
    True
    """
    first = member.data.read(slice(0, 1))[0] if len(member) else None
    return isinstance(first, str) or (isinstance(first, tuple) and all(isinstance(text, str) for text in first))


def batch_of_texts(member: Member) -> Batch:
    """A set of texts as training takes it."""
    import torch

    from outfield.models.pairs import pair_of
    from outfield.types import Batch

    data = member.data
    texts = Texts(tuple(pair_of(item) for item in data.read(slice(0, len(data)))))
    return Batch(texts, None if data.labels is None else torch.tensor(data.labels))


def text_model(module: nn.Module, **options: Any) -> PairClassifier:
    """A network of texts as a model that can be measured; it has no layers for probes to read."""
    from outfield.models.pairs import PairClassifier

    placed = module.to(options.get("device", "cpu"))
    return PairClassifier(
        placed, **{name: value for name, value in options.items() if name not in ("layers", "device")}
    )

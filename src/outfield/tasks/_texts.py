"""Texts as the tasks that read them train on them and measure them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outfield import keys
from outfield.data.member import Member
from outfield.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.pairs import PairClassifier
    from outfield.models.preprocess import Preprocess
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


def text_model(
    module: nn.Module, *, name: str = "", device: str = "cpu", preprocess: Preprocess | None = None, **options: Any
) -> PairClassifier:
    """A network of texts as a model that can be measured.

    Raises
    ------
    UserError
        ``head``, ``layers``, or a ``preprocess`` that changes something: it reads texts itself and knows its own head.
    """
    from outfield.models.pairs import PairClassifier
    from outfield.models.preprocess import Pictures

    given = {field for field, value in options.items() if value}
    given |= {"preprocess"} if preprocess not in (None, Pictures()) else set()
    if given:
        raise UserError(
            f"Expected no {' and no '.join(sorted(given))} of {name or 'a model'}, for {type(module).__name__} reads "
            "texts itself and its last linear layer is its head, but got one. Leave it out."
        )
    return PairClassifier(module.to(device), name=name)

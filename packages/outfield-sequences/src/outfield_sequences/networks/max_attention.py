from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from outfield_sequences.softmax import Softmax


class MaxAttention(nn.Module):
    """One head of attention over the entries of a set, and a classifier of what it attends to [1].

    An input [n, 2k] has k entries: the k priorities, then the k classes, where -1 says that the entry is not there.
    The query is one learned vector.

    Parameters
    ----------
    classes : int
    width : int
        Units of every layer.
    temperature : {"plain", "adaptive"}
        Of the attention; ``adaptive`` makes rows of high entropy sharper (``outfield_sequences.softmax``).

    Examples
    --------
    >>> network = MaxAttention(classes=3, width=8)
    >>> sets = torch.tensor([[0.2, 0.9, 0.0, 2.0, 1.0, -1.0]])
    >>> network(sets).shape, network.weights(sets).shape
    (torch.Size([1, 3]), torch.Size([1, 3]))

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """

    def __init__(self, classes: int, width: int = 128, temperature: str = "plain") -> None:
        super().__init__()
        self.classes = classes
        self.entry = nn.Sequential(nn.Linear(1 + classes, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.query = nn.Parameter(torch.randn(width))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attention = Softmax(temperature)
        self.body = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        entries, logits = self._attended(x)
        read = (self.attention(logits)[:, None] @ self.value(entries)).squeeze(1)
        answer: Tensor = self.head(self.body(read))
        return answer

    def weights(self, x: Tensor) -> Tensor:
        """The attention to each entry [n, k]."""
        found: Tensor = self.attention(self._attended(x)[1])
        return found

    def _attended(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Entries [n, k, width], and the logits of the attention to them [n, k]."""
        priorities, classes = x.chunk(2, dim=1)
        there = classes >= 0
        known = nn.functional.one_hot(classes.long().clamp(min=0), self.classes).to(x)
        entries = self.entry(torch.cat([priorities[..., None], known], dim=2))
        logits = self.key(entries) @ self.query / math.sqrt(len(self.query))
        return entries, logits.masked_fill(~there, -math.inf)

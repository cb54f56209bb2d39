"""A language model that answers pairs of texts, as a model that detectors can be brought to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.heads import tolerance
from outfield.models.pair_models import Pair, PairModel, merged
from outfield.models.transformers import texts_of
from outfield.types import Head, Outputs

if TYPE_CHECKING:
    from outfield.strategies import Processes

EXAMPLE = (("A text.", "Another text."), ("A text which is longer than the first one is.", "A text."))
"""Pairs that show whether the last linear layer, applied to the features, gives the logits."""


def pair_of(item: Any) -> Pair:
    """The two texts of an item; a single text is the first, beside an empty second.

    Examples
    --------
    >>> pair_of(("It rains.", "It is wet.")), pair_of("What is my balance?")
    (('It rains.', 'It is wet.'), ('What is my balance?', ''))
    """
    texts = texts_of(item)
    if not 1 <= len(texts) <= 2 or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"Expected a text or a pair of texts, but got {item!r:.60}. Pass texts, such as those of the source nli."
        )
    return texts[0], texts[1] if len(texts) == 2 else ""


class PairClassifier:
    """A ``PairModel`` as a ``Model``: pairs, or single texts, to logits and features.

    The features are what the last linear layer is given: for most encoders the pooled token (else the mean over
    tokens), for a causal model the state of the last token. Where that layer gives the logits of them, it is the head.
    A batch is cut into batches of pairs of like length, which several processes share.

    Parameters
    ----------
    network : nn.Module
        A ``PairModel``, or what processes made of one.
    name : str
    batch : int
        Pairs of one forward pass of the network.
    processes : Processes, optional
        Those that measure together.
    content : str, optional
        Content key of the network, where somebody has it already.
    """

    layers: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None

    def __init__(
        self, network: nn.Module, *, name: str = "", batch: int = 32, processes: Processes | None = None,
        content: str = "",
    ) -> None:  # fmt: skip
        self.network, self.of, self.name, self.batch = network, pair_model_of(network), name, batch
        self.processes, self.content, self.forwards = processes, content, 0
        self._head_fits = not (processes and processes.sharded) and self._fits()

    def __repr__(self) -> str:
        head = "the input of its linear head" if self._head_fits else "pooled, no linear head"
        return f"PairClassifier({type(self.of).__name__}, features {head})"

    @property
    def head(self) -> Head | None:
        return self._head() if self._head_fits else None

    def _head(self) -> Head:
        layer, answers = self.of.last, self.of.answers
        weight = layer.weight.detach()[answers].clone()
        bias = weight.new_zeros(len(answers)) if layer.bias is None else layer.bias.detach()[answers].clone()
        return Head(weight, bias)

    def _fits(self) -> bool:
        """Whether the last linear layer gives the logits of the features."""
        if self.of.last.weight.is_meta:
            return False
        with self.evaluating(), torch.inference_mode():
            out = self._split(self._values(self.of.tokens(EXAMPLE)))
            found = self._head().to("cpu", torch.float32)(out.features)
        return float((found - out.logits).abs().max()) <= tolerance(out.logits)

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"logits", "features"} | ({"head"} if self._head_fits else set()))

    @property
    def input_std(self) -> Tensor:
        return torch.ones(1, device=self.of.device)

    @property
    def input_mean(self) -> Tensor:
        return torch.zeros(1, device=self.of.device)

    def prepare(self, batch: Items) -> Tensor:
        """Tokens [n, 3, T]."""
        return self.of.tokens([pair_of(item) for item in batch])

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Logits and features of tokens, on the CPU."""
        self.forwards += len(x)
        batches = x[:, 1].sum(dim=1).argsort(stable=True).split(self.batch)
        rank, size = (self.processes.rank, self.processes.size) if self.processes else (0, 1)
        parts = []
        for turn in range(rank, len(batches) + rank, size):  # every process calls the network as often
            rows = batches[min(turn, len(batches) - 1)]
            parts.append((rows if turn < len(batches) else rows[:0], self._values(x[rows])))
        found = torch.zeros(len(x), parts[0][1].shape[1])
        for rows, values in parts:
            found[rows] = values[: len(rows)]
        found = self.processes.total(found) if self.processes else found
        return self._split(found)

    def _values(self, tokens: Tensor) -> Tensor:
        """Logits and features of one batch, beside one another."""
        heard: list[Tensor] = []
        hook = self.of.last.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
        try:
            logits = self.network(tokens)
        finally:
            hook.remove()
        return torch.cat([part.float().cpu() for part in (logits, self.of.pooled(heard[-1], tokens))], dim=1)

    def _split(self, values: Tensor) -> Outputs:
        classes = len(self.of.answers)
        return Outputs(logits=values[:, :classes], features=values[:, classes:])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode and merged adapters inside, everything as before outside."""
        modes = {module: module.training for module in self.network.modules()}
        self.network.eval()
        try:
            if self.processes and self.processes.sharded:
                yield
            else:
                with merged(self.of.module):
                    yield
        finally:
            for module, training in modes.items():
                module.training = training

    def digest(self) -> str:
        return self.content or self.of.digest()


def pair_model_of(network: nn.Module) -> PairModel:
    """The pair model in a network.

    Raises
    ------
    UserError
        There is none.
    """
    for module in network.modules():
        if isinstance(module, PairModel):
            return module
    raise UserError(
        f"Expected a network that reads pairs of texts, but got {type(network).__name__}. Take pair_encoder or "
        "pair_causal."
    )

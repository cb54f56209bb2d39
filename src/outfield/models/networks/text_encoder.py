from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from outfield.models.pair_models import HEADS, PairModel, pretrained, quiet


class TextEncoder(PairModel):
    """An encoder of Hugging Face with a linear head on the mean over its tokens, for single texts or pairs.

    The mean over the last hidden states is what sentence encoders are trained for (Reimers and Gurevych 2019): it is
    the feature of each text, and the head is linear in it. A strategy decides which weights are learned: ``adamw``
    learns all of them, ``linear_probe`` those of the head.

    Parameters
    ----------
    path : str
        A name of the Hub, a local folder, or ``package:MODULE/FOLDER`` of an installed package.
    classes : int
    max_tokens : int, optional
        Tokens that are kept of a text, or of the first of a pair.
    seed : int, optional
        Of the head; by default that of the run.

    Raises
    ------
    UserError
        A model that cannot be loaded, or that lacks weights.
    """

    pooling = "mean"

    def __init__(self, path: str, classes: int = 2, *, max_tokens: int | None = None, seed: int | None = None) -> None:
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(torch.initial_seed() if seed is None else seed)
            tokenizer, body = pretrained(path, "AutoModel", trained=HEADS)
            module = _MeanPooled(body, classes)
        super().__init__(module, tokenizer, range(classes), max_tokens=max_tokens)

    @property
    def last(self) -> nn.Linear:
        head: nn.Linear = self.module.head
        return head

    def _tokens(self, premise: str, hypothesis: str) -> tuple[list[int], list[int]]:
        found = self.tokenizer(premise, hypothesis) if hypothesis else self.tokenizer(premise)
        return found["input_ids"], found.get("token_type_ids") or [0] * len(found["input_ids"])

    def _scores(self, given: Mapping[str, Tensor]) -> Tensor:
        named = self.tokenizer.model_input_names
        scores: Tensor = self.module(**{name: value for name, value in given.items() if name in named}).logits
        return scores


class _Answer(NamedTuple):
    logits: Tensor


class _MeanPooled(nn.Module):
    """A body, the mean of its last hidden states over the tokens of each text, and a linear head."""

    def __init__(self, body: Any, classes: int) -> None:
        super().__init__()
        self.config, self.body = body.config, body
        self.head = nn.Linear(body.config.hidden_size, classes)

    def forward(self, *, attention_mask: Tensor, **given: Tensor) -> _Answer:
        hidden = self.body(attention_mask=attention_mask, **given).last_hidden_state
        weights = attention_mask[..., None].to(hidden)
        return _Answer(self.head((hidden * weights).sum(dim=1) / weights.sum(dim=1)))

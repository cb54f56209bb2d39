from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outfield.errors import UserError
from outfield.models.pair_models import PATTERN, Causal, Lora, Verbaliser, opened, settings


class PairCausal(Causal):
    """A causal language model of Hugging Face with LoRA adapters, which answers pairs of texts by one of two words.

    Parameters
    ----------
    path : str
        A name of the Hub, a local folder, or ``package:MODULE/FOLDER`` of an installed package.
    classes : int
        Two.
    pattern : str, optional
        The prompt, with ``{premise}`` and ``{hypothesis}``; by default a question for Yes or No.
    verbaliser : mapping, optional
        The words: entailment (class 1) and other (class 0), a token each.
    full : bool
        Whether the loss is over all words, not over the two answers.
    padding : {"left", "right"}
    lora, max_tokens, gradient_checkpointing, device, seed
        As for ``pair_encoder``.
    """

    def __init__(
        self, path: str, classes: int = 2, *, pattern: str | None = None,
        verbaliser: Verbaliser | Mapping[str, Any] | None = None, full: bool = False,
        padding: str = "left", lora: Lora | Mapping[str, Any] | None = None,
        max_tokens: int | None = None, gradient_checkpointing: bool = False, device: str = "cpu",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        if classes != 2:
            raise UserError(f"Expected two classes for two answers, but got {classes}. Take pair_encoder.")
        module, tokenizer = opened(
            path, "causal", lora=lora, gradient_checkpointing=gradient_checkpointing, device=device, seed=seed
        )
        super().__init__(
            module, tokenizer, pattern=PATTERN if pattern is None else pattern,
            verbaliser=settings(Verbaliser, verbaliser), full=full, max_tokens=max_tokens, padding=padding,
        )  # fmt: skip

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outfield.models.pair_models import Encoder, Lora, opened


class PairEncoder(Encoder):
    """An encoder of Hugging Face with LoRA adapters and a trained head, for pairs of texts.

    Parameters
    ----------
    path : str
        A name of the Hub, a local folder, or ``package:MODULE/FOLDER`` of an installed package.
    classes : int
    lora : mapping, optional
        Of the adapters: r, alpha, dropout, targets.
    max_tokens : int, optional
        Tokens that are kept of the first text.
    gradient_checkpointing, device, seed
        See ``outfield.models.pair_models.opened``.
    """

    def __init__(
        self, path: str, classes: int = 2, *, lora: Lora | Mapping[str, Any] | None = None,
        max_tokens: int | None = None, gradient_checkpointing: bool = False, device: str = "cpu",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        module, tokenizer = opened(
            path, "encoder", lora=lora, classes=classes, gradient_checkpointing=gradient_checkpointing, device=device,
            seed=seed,
        )  # fmt: skip
        super().__init__(module, tokenizer, classes=classes, max_tokens=max_tokens)

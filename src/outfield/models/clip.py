"""CLIP models: the mini one that ships, and those of transformers, as classifiers by the names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield import keys
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models import mini_clip
from outfield.models.libraries import library
from outfield.models.preprocess import noise
from outfield.models.torch import TorchModel
from outfield.models.towers import PROMPT, TwoTowers, ZeroShot, class_texts
from outfield.models.transformers import Processed, loaded

MINI = "mini"


class ClipModel(TorchModel):
    """A zero-shot classifier: features are the pictures' embeddings, the head is that of the classes' texts [1].

    Beside what other models offer it embeds ``texts`` of any words, in its own prompts, and ``regions`` of pictures.

    Parameters
    ----------
    module : ZeroShot
    example, options
        As for ``TorchModel``.

    References
    ----------
    [1] Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.
    """

    module: ZeroShot

    @property
    def offers(self) -> frozenset[str]:
        return super().offers | {"texts", "regions"}

    def texts(self, words: Sequence[str]) -> Tensor:
        """Embeddings of words in the model's prompts, [m, D], each of length 1."""
        with torch.inference_mode():
            return class_texts(self.module.towers, words, self.module.prompts).cpu()

    def regions(self, x: Tensor) -> Tensor:
        """Embeddings of the regions of pictures, [n, P, D], each of length 1; one pass."""
        self.forwards += len(x)
        found: Tensor = self.module.towers.seen(x)[1]
        return found

    def digest(self) -> str:
        return keys.key(model=super().digest(), names=self.module.names, prompts=self.module.prompts)


def open_clip(
    reference: str,
    *,
    classes: Sequence[str] = (),
    prompt: str | Sequence[str] = PROMPT,
    example: Items | None = None,
    **options: Any,
) -> ClipModel:
    """A CLIP as a classifier by the names of classes.

    Parameters
    ----------
    reference : str
        ``mini``, or a folder or name of a CLIP of transformers.
    classes : sequence of str
        Names of the classes.
    prompt : str or sequence of str
        With ``{}`` where the name stands; embeddings of several are averaged.
    example, options
        As for ``TorchModel``.

    Raises
    ------
    MissingExtra
        transformers is not installed.
    UserError
        No names of classes, no such model, or one that is no CLIP.

    Examples
    --------
    >>> model = open_clip("mini", classes=["red circle", "blue square"])
    >>> model.texts(["green star"]).shape, sorted(model.offers & {"texts", "head"})
    (torch.Size([1, 64]), ['head', 'texts'])
    """
    towers = towers_of(reference)
    module = ZeroShot(towers, classes, prompt).eval()
    given = {"preprocess": towers.preprocess, "name": f"clip-{Path(reference).name}", "classes": classes, **options}
    return ClipModel(module, noise(3, *towers.sides) if example is None else example, **given)


def towers_of(reference: str) -> TwoTowers:
    """The two towers of a name or folder."""
    return mini_clip.trained() if reference == MINI else _of_transformers(reference)


class TransformersTowers(TwoTowers):
    """A ``CLIPModel`` of transformers.

    Its regions are the last hidden states of the patches, through the norm and projection that the picture's own state
    goes through.

    Parameters
    ----------
    clip : transformers.CLIPModel
    tokenizer, processor
    """

    def __init__(self, clip: Any, tokenizer: Any, processor: Any) -> None:
        super().__init__()
        self.clip, self.tokenizer = clip, tokenizer
        self.processor = Processed(processor, clip.config.vision_config.num_channels)

    @property
    def preprocess(self) -> Processed:
        return self.processor

    @property
    def sides(self) -> tuple[int, int]:
        side = self.clip.config.vision_config.image_size
        return side, side

    @property
    def scale(self) -> Tensor:
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    @property
    def context_start(self) -> int:
        return 1

    def sees(self) -> list[nn.Parameter]:
        return [*self.clip.vision_model.parameters(), *self.clip.visual_projection.parameters()]

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.clip.vision_model
        states = vision(pixel_values=x).last_hidden_state
        embedded = functional.normalize(self.clip.visual_projection(vision.post_layernorm(states)), dim=2)
        return embedded[:, 0], embedded[:, 1:]

    def words(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        limit = self.clip.config.text_config.max_position_embeddings
        found = self.tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        place = self._embedding.weight.device
        return self._embedding(found["input_ids"].to(place)), found["attention_mask"].to(place).bool()

    @property
    def _embedding(self) -> nn.Embedding:
        embedding: nn.Embedding = self.clip.text_model.embeddings.token_embedding
        return embedding

    def read(self, words: Tensor, there: Tensor) -> Tensor:
        last = there.sum(1) - 1
        numbers = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        numbers[torch.arange(len(words)), last] = self.clip.config.text_config.eos_token_id
        handle = self._embedding.register_forward_hook(lambda *_: words)
        try:
            pooled = self.clip.text_model(input_ids=numbers, attention_mask=there.long()).pooler_output
        finally:
            handle.remove()
        return functional.normalize(self.clip.text_projection(pooled), dim=1)


def _of_transformers(reference: str) -> TransformersTowers:
    transformers = library("transformers", extra="text")
    config = loaded(reference, transformers.AutoConfig.from_pretrained)
    if config.model_type != "clip":
        raise UserError(
            f"Expected a CLIP of transformers in {reference!r}, but it holds a {config.model_type}. "
            "Pass a folder that CLIPModel.save_pretrained wrote, a name of one on the hub, or `clip:mini`."
        )
    clip = loaded(reference, transformers.CLIPModel.from_pretrained)
    tokenizer = loaded(reference, transformers.AutoTokenizer.from_pretrained)
    return TransformersTowers(clip, tokenizer, loaded(reference, transformers.AutoImageProcessor.from_pretrained))

"""Hugging Face classifiers of pictures and of texts, with their own processors."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outfield import keys
from outfield.data.base import Items
from outfield.data.labels import numbers_only
from outfield.errors import MissingExtra, UserError
from outfield.models.libraries import library
from outfield.models.preprocess import Pictures, Preprocess, noise, picture
from outfield.models.torch import TorchModel
from outfield.types import Outputs

TEXTS = ("A text.", "Another text, which is longer than the first one is.")
FEATURES = {
    "cls": "the first token of the last hidden states (CLS)",
    "mean": "the mean of the last hidden states over all tokens",
}
"""Text features beside the head's own input."""


@dataclass(frozen=True, eq=False, repr=False)
class Processed:
    """Pictures through a Hugging Face image processor: 8-bit, in the model's number of channels."""

    processor: Any
    channels: int = 3

    def __call__(self, batch: Items) -> Tensor:
        pictures = [self._eight_bit(item) for item in batch]
        values: Tensor = self.processor(images=pictures, return_tensors="pt", input_data_format="channels_last")[
            "pixel_values"
        ]
        return values

    def _eight_bit(self, item: Any) -> Any:
        values = Pictures(channels=self.channels)._channelled(picture(item))
        return values if values.dtype == np.uint8 else np.rint(values * 255).astype(np.uint8)

    def __repr__(self) -> str:
        return type(self.processor).__name__

    @property
    def scale(self) -> Tensor:
        """Standard deviations on values in [0, 1], [C, 1, 1]; ones where the processor does not normalise."""
        std = self.processor.image_std if getattr(self.processor, "do_normalize", False) else [1.0]
        return torch.tensor(std, dtype=torch.float32)[:, None, None]

    def digest(self) -> Any:
        return [type(self.processor).__name__, json.loads(self.processor.to_json_string()), self.channels]


@dataclass(frozen=True, eq=False, repr=False)
class Tokens:
    """Texts, or pairs of texts, through a tokenizer: int64 [n, names, tokens], padded to the longest.

    Parameters
    ----------
    tokenizer : a Hugging Face tokenizer
    limit : int
        Tokens at which a text is cut.

    Raises
    ------
    UserError
        What is no text.
    """

    tokenizer: Any
    limit: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the second axis holds: ``input_ids``, ``attention_mask``, ..."""
        return tuple(self.tokenizer.model_input_names)

    def __call__(self, batch: Items) -> Tensor:
        columns = _columns(batch)
        encoded = self.tokenizer(*columns, padding=True, truncation=True, max_length=self.limit, return_tensors="pt")
        return torch.stack([encoded[name] for name in self.names], dim=1)

    def __repr__(self) -> str:
        return f"{type(self.tokenizer).__name__}, {self.limit} tokens"

    def digest(self) -> Any:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        words = sorted(self.tokenizer.get_vocab().items()) if backend is None else backend.to_str()
        return [type(self.tokenizer).__name__, self.limit, self.names, keys.digest(json.dumps(words).encode())]


def _columns(batch: Items) -> list[list[str]]:
    """One list of texts, or two of pairs."""
    rows = [texts_of(item) for item in batch]
    if not all(
        len(row) in (1, 2) and len(row) == len(rows[0]) and all(isinstance(t, str) for t in row) for row in rows
    ):
        raise UserError(
            f"Expected texts, or pairs of texts, but got {type(batch[0]).__name__}. Pass data that the model reads."
        )
    return [list(column) for column in zip(*rows, strict=True)]


PAIR = frozenset({"premise", "hypothesis"})


def texts_of(item: Any) -> tuple[Any, ...]:
    """The texts of an item: itself, its parts, or of a record its column ``text``, else all its columns, in order."""
    if isinstance(item, str):
        return (item,)
    if not isinstance(item, Mapping):
        return tuple(item)
    if "text" in item:
        return (item["text"],)
    names = ("premise", "hypothesis") if item.keys() == PAIR else tuple(item)
    if not 1 <= len(names) <= 2 or not all(isinstance(item[name], str) for name in names):
        raise UserError(
            f"Expected records of one text or of two, but got the columns {', '.join(names)}. "
            "Keep the columns of the texts alone, or call the one of the text `text`."
        )
    return tuple(item[name] for name in names)


class TextModel(TorchModel):
    """A Hugging Face text classifier.

    Its features are the head's input (for BERT the pooled CLS token) and ``print(model)`` says so.

    Parameters
    ----------
    module : nn.Module
    example : Items, optional
        By default two texts of different length.
    preprocess : Tokens
    features : {"cls", "mean"} or name of a layer, optional
        Other features than the head's input; the linear head does not follow them and is left out.
    head, layers, name, classes, device
        As for ``TorchModel``.
    """

    differentiable = False

    def __init__(
        self,
        module: nn.Module,
        example: Items | None = None,
        *,
        preprocess: Tokens,
        features: str | None = None,
        **options: Any,
    ) -> None:
        self.tokens = preprocess
        self.token_features = features if features in FEATURES else None
        super().__init__(
            module,
            list(TEXTS) if example is None else example,
            preprocess=preprocess,
            features=None if self.token_features else features,
            **options,
        )
        if self.token_features:
            self.site = None

    @property
    def offers(self) -> frozenset[str]:
        return super().offers | ({"features"} if self.token_features else set())

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        out = super().forward(x, layers)
        if self.token_features is None:
            return out
        hidden = self._called(x, output_hidden_states=True).hidden_states[-1]
        return Outputs(out.logits, self._token_features(hidden, x), layers=out.layers)

    def _token_features(self, hidden: Tensor, x: Tensor) -> Tensor:
        if self.token_features == "cls":
            return hidden[:, 0]
        mask = x[:, self.tokens.names.index("attention_mask"), :, None].to(hidden)
        return (hidden * mask).sum(1) / mask.sum(1)

    def _about_head(self) -> str:
        if self.token_features:
            return f"features {FEATURES[self.token_features]}, no linear head"
        return super()._about_head()

    def digest(self) -> str:
        return keys.key(model=super().digest(), features=self.token_features)

    def _run(self, x: Tensor) -> Any:
        return self._called(x)

    def _called(self, x: Tensor, **options: Any) -> Any:
        return self.module(**dict(zip(self.tokens.names, x.unbind(1), strict=True)), **options)


def open_transformers(reference: str, **options: Any) -> TorchModel:
    """A picture or text classifier by its name on the hub, or from a folder that ``save_pretrained`` wrote.

    Raises
    ------
    MissingExtra
        transformers is not installed.
    UserError
        There is no such model; it is no classifier of one label, or its head was never trained.
    """
    transformers = library("transformers", extra="text")
    config = loaded(reference, transformers.AutoConfig.from_pretrained)
    architecture = (config.architectures or [type(config).__name__])[0]
    autos = {
        "ForImageClassification": transformers.AutoModelForImageClassification,
        "ForSequenceClassification": transformers.AutoModelForSequenceClassification,
    }
    auto = next((auto for ending, auto in autos.items() if architecture.endswith(ending)), None)
    if auto is None:
        raise _no_classifier(repr(reference), architecture, "no such head")
    _check_problem(config, repr(reference), architecture)
    module, info = loaded(reference, auto.from_pretrained, output_loading_info=True)
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"Expected trained weights of {architecture} in {reference!r}, but {', '.join(missing[:3])} are not there "
            "and would be random. Pass the folder of the fine-tuned classifier."
        )
    return wrap(module, **{"name": Path(reference).name, **options})


def wrap(module: Any, *, preprocess: Any = None, classes: Sequence[str] | None = None, **options: Any) -> TorchModel:
    """A transformers classifier that is there already.

    Parameters
    ----------
    module : PreTrainedModel
    preprocess : processor, tokenizer or callable, optional
        By default what lies beside the model where it was loaded from.
    classes, options
        As for ``TorchModel``; the classes are those of the configuration where it names them.

    Raises
    ------
    UserError
        There is no processor beside the model.
    """
    config = module.config
    _check_problem(config, "the model", type(module).__name__)
    options = {"name": type(module).__name__, "classes": classes or _classes(config), **options}
    if type(module).__name__.endswith("ForSequenceClassification"):
        tokens = preprocess if isinstance(preprocess, Tokens) else _tokens(module, preprocess)
        return TextModel(module.eval(), preprocess=tokens, **options)
    pictures: Preprocess = preprocess if _ready(preprocess) else _processed(module, preprocess)
    if options.get("example") is None:
        side = getattr(config, "image_size", 64)
        options["example"] = noise(
            getattr(config, "num_channels", 3), *(side if isinstance(side, (list, tuple)) else (side, side))
        )
    return TorchModel(module.eval(), preprocess=pictures, **options)


def _check_problem(config: Any, where: str, architecture: str) -> None:
    problem = getattr(config, "problem_type", None)
    if problem in ("regression", "multi_label_classification"):
        raise _no_classifier(where, architecture, problem)


def _no_classifier(where: str, architecture: str, why: str) -> UserError:
    return UserError(
        f"Expected a classifier of pictures or texts into one of several classes in {where}, but it holds "
        f"{architecture} ({why}). Fine-tune a classifier first."
    )


def _ready(preprocess: Any) -> bool:
    """Whether it turns items into tensors by itself: a Hugging Face processor gives a mapping."""
    return preprocess is not None and not hasattr(preprocess, "save_pretrained")


def _processed(module: Any, processor: Any) -> Processed:
    auto = library("transformers", extra="text").AutoImageProcessor
    processor = processor or loaded(module.config._name_or_path, auto.from_pretrained)
    return Processed(processor, getattr(module.config, "num_channels", 3))


def _tokens(module: Any, tokenizer: Any) -> Tokens:
    auto = library("transformers", extra="text").AutoTokenizer
    tokenizer = tokenizer or loaded(module.config._name_or_path, auto.from_pretrained)
    longest = getattr(module.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return Tokens(tokenizer, min(tokenizer.model_max_length, longest))


def _classes(config: Any) -> tuple[str, ...] | None:
    """The names of the classes, unless they are the placeholders LABEL_0, LABEL_1, ...; two of one logit's name."""
    names = tuple(str(config.id2label.get(i, i)) for i in range(len(config.id2label)))
    if numbers_only(names):
        return None
    return names if len(names) > 1 else (f"not {names[0]}", names[0])


def loaded(reference: str, load: Any, **options: Any) -> Any:
    """What a loader of transformers makes of a name or folder.

    Raises
    ------
    MissingExtra
        A package that it needs is not installed.
    UserError
        There is no such thing, or it is damaged.
    """
    try:
        return load(reference, **options)
    except ImportError as error:
        raise MissingExtra((getattr(error, "name", None) or "transformers").partition(".")[0], extra="text") from error
    except Exception as error:  # files that are damaged, or pickles of anything, raise whatever they like
        reason = str(error).strip().splitlines()
        if isinstance(error, pickle.UnpicklingError):
            raise UserError(
                f"Expected a Hugging Face model of tensors alone in {reference!r}, but its weights are a pickle of "
                "other objects, and loading those can run any code. If you trust it, load it and save it again: "
                "model.save_pretrained(folder), which writes safetensors."
            ) from None
        raise UserError(
            f"Expected a Hugging Face model in {reference!r} with its configuration, weights and processor, but "
            f"loading failed: {reason[0] if reason else type(error).__name__} "
            "Check the name and the connection, or pass the folder that save_pretrained wrote."
        ) from error

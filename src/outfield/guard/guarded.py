"""A model with its guard: predictions, scores and verdicts of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from outfield.data.base import Dataset, Items
from outfield.data.datasets import stack
from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.guard.bundle import Bundle
from outfield.guard.manifest import TensorPart
from outfield.guard.verdicts import Answers
from outfield.models.base import Model
from outfield.models.open import open_model
from outfield.types import Array, Outputs


def guarded(model: Any, bundle: Bundle | Path | str, **options: Any) -> Guarded:
    """A model with the guard that was built for it.

    Parameters
    ----------
    model : str or object
        As for ``open_model``, which takes ``options``.
    bundle : Bundle, or the path of one

    Raises
    ------
    UserError
        No bundle, or one of another model, of other weights or of other preprocessing.

    Examples
    --------
    >>> guarded = outfield.guard(model, "pets.guard")  # doctest: +SKIP
    >>> guarded(pictures).verdict  # doctest: +SKIP
    array(['id', 'ood'], dtype='<U10')
    """
    return Guarded(model, bundle if isinstance(bundle, Bundle) else Bundle.load(bundle), options)


class Guarded:
    """A model that answers with a verdict.

    Parameters
    ----------
    model : str or object
        A torch module is opened with the first inputs that it is given, for nothing else states what it takes.
    bundle : Bundle
    options : mapping
        Of ``open_model``.
    batch : int
        Inputs of one forward pass.
    """

    def __init__(self, model: Any, bundle: Bundle, options: dict[str, Any], batch: int = 256) -> None:
        self.bundle, self.batch = bundle, batch
        self._given, self._options = model, options
        self._opened: Model | None = model if isinstance(model, Model) else None
        if self._opened is not None:
            self._check(self._opened)

    def __call__(self, inputs: Any) -> Any:
        """Answers to inputs: ``Answers`` of a batch, an ``Answer`` of one.

        One input is a picture [height, width, channels], a vector, a text or a picture of PIL; whatever else
        ``evaluate`` takes as data is a batch: an array with one axis more, a list, a frame, a folder.

        Raises
        ------
        UserError
            Inputs that the model cannot be given.
        """
        single = _is_single(inputs)
        found = self.answers(dataset(_as_batch(inputs) if single else inputs))
        return found[0] if single else found

    def answers(self, data: Dataset) -> Answers:
        """Answers to a data set, batch by batch."""
        return Answers.joined([replace(one, logits=None) for one in self.stream(data)])

    def stream(self, data: Dataset) -> Iterator[Answers]:
        """Answers to each batch of a data set, in order."""
        for start in range(0, len(data), self.batch):
            out = self._said(data.read(slice(start, start + self.batch)))
            logits = out.logits.float().numpy() if "logits" in out.present else None
            yield Answers(self._named(out), self.bundle.score(out), logits)

    def outputs(self, data: Dataset) -> Outputs:
        """What the model says of a data set, in memory."""
        parts = []
        for start in range(0, len(data), self.batch):
            items = data.read(slice(start, start + self.batch))
            parts.append(self._said(items))
        if not parts:
            raise UserError("Expected inputs to answer, but got none. Pass at least one.")
        return Outputs.cat(parts)

    def _said(self, items: Any) -> Outputs:
        model = self.opened(items)
        with model.evaluating(), torch.inference_mode():
            return model.forward(model.prepare(items)).to("cpu")

    def opened(self, items: Any) -> Model:
        """The model, opened with some items and checked to be that of the bundle."""
        if self._opened is None:
            example = {} if items is None else {"example": items[:2]}
            model = open_model(self._given, **{**example, **self._options})
            self._check(model)
            self._opened = model
        return self._opened

    @property
    def is_open(self) -> bool:
        """Whether the model is open."""
        return self._opened is not None

    def start(self) -> None:
        """Open the model before there are inputs, with noise of the kind that the bundle names.

        Raises
        ------
        UserError
            As for the first inputs.
        """
        self.opened(_noise(self.bundle.manifest.model.inputs))

    def _check(self, model: Model) -> None:
        expected = self.bundle.manifest.model
        if model.digest() != expected.digest:
            raise UserError(
                f"Expected the model that this bundle was built with ({expected.adapter} {expected.id!r}), but this "
                f"({type(model).__name__} {model.name!r}) has other weights or preprocessing: its scores mean "
                f"something else. Pass that model, or build a bundle for this one. {SAME}"
            )
        if (device := device_of(model)) != expected.device:
            raise UserError(
                f"Expected the model on {expected.device}, where this bundle was built, but it is on {device}, which "
                f"rounds otherwise. {SAME}"
            )

    @cached_property
    def _names(self) -> Array | None:
        classes = self.bundle.manifest.model.classes
        return None if classes is None else np.array(classes, dtype=object)

    def _named(self, out: Outputs) -> Array:
        """The predicted classes by name, where the model knows them; of a regressor its numbers."""
        if "logits" not in out.present:
            return np.asarray(out.predictions.numpy()) if "predictions" in out.present else np.full(len(out), None)
        number = out.logits.argmax(dim=1).numpy()
        return number if self._names is None else self._names[number]


SAME = "Where it is the same model in another form, `outfield guard recheck` counts the decisions that change."


def device_of(model: Model) -> str:
    """The kind of device that a model computes on."""
    return str(getattr(model, "device", "cpu")).partition(":")[0]


def _noise(kinds: Sequence[TensorPart] | None) -> Items | None:
    """Seeded inputs of the given types and shapes."""
    if kinds is None:
        return None
    rng = np.random.default_rng(0)
    return stack(
        [(rng.uniform(size=one.shape) * (255 if one.dtype == "uint8" else 1)).astype(one.dtype) for one in kinds]
    )


def _is_single(inputs: Any) -> bool:
    """Whether this is one input, and no batch of them."""
    if isinstance(inputs, str):
        return not Path(inputs).exists()
    shape = getattr(inputs, "shape", None)
    if shape is not None and not hasattr(inputs, "columns"):
        return len(shape) in (1, 3)
    return hasattr(inputs, "convert") and hasattr(inputs, "getpixel")


def _as_batch(one: Any) -> Any:
    return one[None] if hasattr(one, "shape") else [one]

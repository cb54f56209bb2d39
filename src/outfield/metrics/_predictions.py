"""What a classifier said and what was true, reduced to four numbers a sample, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outfield.errors import UserError
from outfield.metrics._arrays import classes, numbers
from outfield.metrics._weights import Weights, checked, counted

CHUNK = 8192


class _PerSample(NamedTuple):
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    squared_error: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits and labels of the same samples.

    Parameters
    ----------
    logits : array of floats [n, C]
    labels : array of whole numbers [n]
        In 0 .. C - 1.
    weights : array [n], optional
        How much each sample counts; a row of weight 0 is as good as absent.

    Raises
    ------
    UserError
        No samples; lengths that differ; NaN or infinite logits; labels that are no whole numbers or outside the head;
        weights that are NaN, negative or all 0.

    Examples
    --------
    >>> import numpy as np
    >>> said = Predictions(np.log([[0.9, 0.1], [0.4, 0.6]]), [0, 0])
    >>> said.correct, said.confidence.round(3)
    (array([ True, False]), array([0.9, 0.6]))
    """

    logits: NDArray[Any]
    labels: NDArray[np.int64]
    weights: Weights | None = None

    def __init__(self, logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> None:
        said, true = numbers(logits, "logits"), classes(labels)
        _check(said, true)
        mass = checked(weights, len(true), "sample")
        rows = counted(mass)
        object.__setattr__(self, "logits", said[rows])
        object.__setattr__(self, "labels", true[rows])
        object.__setattr__(self, "weights", None if mass is None else mass[rows])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_classes(self) -> int:
        return int(self.logits.shape[1])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class of the largest logit, [n]; the first of equals."""
        return self._samples.predicted

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label, [n]."""
        return np.equal(self.predicted, self.labels)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Largest softmax probability, [n]."""
        return self._samples.confidence

    @property
    def log_likelihood(self) -> NDArray[np.float64]:
        """Log of the label's softmax probability, [n], in nats."""
        return self._samples.log_likelihood

    @property
    def squared_error(self) -> NDArray[np.float64]:
        """``sum_c (p_c - 1[c = label])^2``, [n], in [0, 2]."""
        return self._samples.squared_error

    @cached_property
    def _samples(self) -> _PerSample:
        chunks = [self._chunk(slice(start, start + CHUNK)) for start in range(0, len(self), CHUNK)]
        return _PerSample(*(np.concatenate(column) for column in zip(*chunks, strict=True)))

    def _chunk(self, rows: slice) -> _PerSample:
        logits, labels = self.logits[rows].astype(np.float64), self.labels[rows]
        predicted = logits.argmax(axis=1)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        p, own = np.exp(log_p), log_p[np.arange(len(labels)), labels]
        return _PerSample(predicted, p.max(axis=1), own, (p**2).sum(axis=1) - 2 * np.exp(own) + 1)


def _check(logits: NDArray[Any], labels: NDArray[np.int64]) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        one_hot = " One-hot labels become class numbers by labels.argmax(1)." if labels.shape == logits.shape else ""
        raise UserError(
            f"Expected logits [n, C] and labels [n] with n >= 1, but got shapes {list(logits.shape)} and "
            f"{list(labels.shape)}. Pass both of the same samples.{one_hot}"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UserError(
            f"Expected labels as integers in 0 .. {logits.shape[1] - 1}, one of the head's classes, but got "
            f"{labels.dtype} from {labels.min()} to {labels.max()}. Map the labels to the model's classes."
        )
    if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
        raise UserError(
            f"Expected finite logits, but got NaN or infinity in {bad} of {len(labels)} rows. "
            "Check the model's weights and the scaling of its inputs."
        )

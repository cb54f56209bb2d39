"""What estimates a classifier's accuracy on data without labels: from labelled ID items and a batch of answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy import optimize, special, stats

from outfield.errors import UserError
from outfield.types import Array, Estimate

LEAST = 30
"""Fewest labelled, and unlabelled, items that an estimate is made from."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What a classifier said of labelled ID items, or of a batch without labels.

    Parameters
    ----------
    logits : array [n, C]
    labels : array of int [n], optional
    second : array [n, C], optional
        Logits of another model on the same items.

    Raises
    ------
    UserError
        Shapes that do not fit, NaN or infinity, labels that are no class, or fewer than ``LEAST`` items.

    Examples
    --------
    >>> some = Answered(np.tile([[3.0, 0.0], [0.0, 3.0]], (20, 1)), np.tile([0, 0], 20))
    >>> float(some.correct.mean()), some.confidence[:1].round(2).tolist()
    (0.5, [0.95])
    """

    logits: Array
    labels: Array | None = None
    second: Array | None = None

    def __post_init__(self) -> None:
        for name in ("logits", "second"):
            values = getattr(self, name)
            if values is not None:
                values = np.asarray(values, dtype=float)
                object.__setattr__(self, name, values)
                if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
                    raise UserError(
                        f"Expected finite logits [n, classes], but got shape {values.shape} with "
                        f"{int((~np.isfinite(values)).sum())} values that are not finite. Pass the model's logits."
                    )
        if len(self.logits) < LEAST:
            raise UserError(
                f"Expected at least {LEAST} items to estimate an accuracy from, but got {len(self.logits)}. Add items."
            )
        if self.second is not None and self.second.shape != self.logits.shape:
            raise UserError(
                f"Expected logits of both models on the same items, but got {self.logits.shape} and "
                f"{self.second.shape}. Pass both of one data set."
            )
        if self.labels is not None:
            self._check_labels(np.asarray(self.labels))

    def _check_labels(self, labels: Array) -> None:
        classes = self.logits.shape[1]
        if labels.shape != (len(self.logits),) or labels.min() < 0 or labels.max() >= classes:
            raise UserError(
                f"Expected a label from 0 to {classes - 1} for each of {len(self.logits)} items, but got shape "
                f"{labels.shape}, from {labels.min()} to {labels.max()}. Pass the class of each item."
            )
        object.__setattr__(self, "labels", labels.astype(int))

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, rows: Array) -> Answered:
        labels, second = (None if one is None else one[rows] for one in (self.labels, self.second))
        return Answered(self.logits[rows], labels, second)

    @cached_property
    def predicted(self) -> Array:
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def correct(self) -> Array:
        """Whether each labelled item was answered right."""
        if self.labels is None:
            raise UserError("Expected labelled items to calibrate on, but these have no labels. Pass labels=.")
        return np.asarray(self.predicted == self.labels)

    @cached_property
    def probabilities(self) -> Array:
        return np.asarray(special.softmax(self.logits, axis=1))

    @cached_property
    def confidence(self) -> Array:
        return np.asarray(self.probabilities.max(axis=1))

    def resample(self, rows: Array) -> Answered:
        """The given rows; their temperature is one Newton step away from that of all, which costs next to nothing."""
        some = self[rows]
        if self.labels is not None:
            slope, bend = self._loss_by_item
            step = slope[rows].mean() / bend[rows].mean() if bend[rows].any() else 0.0
            some.__dict__["temperature"] = 1 / max(1 / self.temperature - step, 1e-3)
        return some

    @cached_property
    def _loss_by_item(self) -> tuple[Array, Array]:
        """First and second derivative of each item's log loss by the inverse temperature, at that of all."""
        p = special.softmax(self.logits / self.temperature, axis=1)
        mean = (p * self.logits).sum(axis=1)
        of_label = self.logits[np.arange(len(self)), self.labels]
        return mean - of_label, (p * self.logits**2).sum(axis=1) - mean**2

    def cooled(self, temperature: float) -> Answered:
        """The same answers with logits divided by a temperature."""
        return Answered(self.logits / temperature, self.labels, self.second)

    @cached_property
    def temperature(self) -> float:
        """The temperature of the least log loss on the labels.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(4000, 3))
        >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        >>> round(Answered(5 * logits, labels).temperature, 1)
        5.0
        """
        assert self.labels is not None
        rows = np.arange(len(self))

        def loss(log_temperature: float) -> float:
            cooled = self.logits / np.exp(log_temperature)
            return float((special.logsumexp(cooled, axis=1) - cooled[rows, self.labels]).mean())

        return float(np.exp(optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


@dataclass(frozen=True)
class Estimator(ABC):
    """Estimates accuracy on a batch without labels, from labelled ID items.

    None is right under every shift: without assumptions on it no estimator can be [1].

    References
    ----------
    [1] Garg, Balakrishnan, Lipton, Neyshabur, Sedghi, Leveraging unlabeled data to predict out-of-distribution
    performance, ICLR 2022.
    """

    needs_second: ClassVar[bool] = False
    """Whether it reads another model's logits on the same items."""

    @abstractmethod
    def accuracy(self, known: Answered, batch: Answered) -> float:
        """The estimated accuracy on the batch, a share."""

    def estimate(self, known: Answered, batch: Answered, *, draws: int = 200, seed: int = 0) -> Estimate:
        """The estimate with an interval of 95% that holds the error of both samples, by the bootstrap over items.

        Under a shift that the estimator is not made for, its bias is not in the interval.
        """
        value = self.accuracy(known, batch)
        drawn = np.array([self.accuracy(*pair) for pair in resamples(known, batch, draws, seed)])
        return between(value, drawn, len(batch))


def between(value: float, drawn: Array, n: int) -> Estimate:
    """The normal interval of a share with the standard error of its resamples, within [0, 1]."""
    half = float(stats.norm.ppf(0.975) * drawn.std(ddof=1))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0), n)


def resamples(known: Answered, batch: Answered, draws: int, seed: int) -> Iterator[tuple[Answered, Answered]]:
    """Labelled items and batch, the items of each drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        some = known.resample(rng.integers(len(known), size=len(known)))
        yield some, batch[rng.integers(len(batch), size=len(batch))]

"""Whether a bundle still decides as it did, for the same model in another precision, on another device, or re-exported.

A bundle refuses a model with another digest. Here both models answer the same inputs, and decisions that change are
counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from outfield.data.user_data import dataset
from outfield.errors import UserError
from outfield.guard.bundle import Bundle
from outfield.guard.guarded import Guarded, device_of
from outfield.guard.manifest import ModelPart
from outfield.guard.verdicts import Answers
from outfield.models.base import Model
from outfield.models.open import open_model
from outfield.stats import intervals
from outfield.types import Array, Estimate, Outputs

MOST = 0.01
"""The share of changed decisions that passes, unless another is asked for."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Recheck:
    """How the answers to the same inputs differ between two models.

    Parameters
    ----------
    n : int
        Inputs that both answered.
    verdicts, rungs, predictions : int
        Inputs whose verdict, whose p, or whose predicted class is another.
    largest, typical : float
        The largest and the median change of a score, in standard deviations of the calibration scores.
    limit : float
        The share of changed verdicts that passes.
    """

    n: int
    verdicts: int
    rungs: int
    predictions: int
    largest: float
    typical: float
    limit: float

    @cached_property
    def share(self) -> Estimate:
        """The share of inputs whose verdict changes, with its exact 95% interval."""
        low, high = intervals.clopper_pearson(self.verdicts, self.n, confidence=CONFIDENCE)
        return Estimate(self.verdicts / self.n, low, high, self.n)

    @property
    def passed(self) -> bool:
        """Whether the interval of the share of changed verdicts ends at the limit, or below."""
        return self.share.high <= self.limit

    @property
    def said(self) -> str:
        """The finding, in one sentence."""
        return (
            f"{self.verdicts:,} of {self.n:,} verdicts change ({self.share.value:.2%} [{self.share.low:.2%}, "
            f"{self.share.high:.2%}]), {self.rungs:,} p and {self.predictions:,} predictions; scores by at most "
            f"{self.largest:.2g} standard deviations of the calibration scores, half of them by at most "
            f"{self.typical:.2g}."
        )

    @property
    def verdict(self) -> str:
        """What follows from it."""
        if self.passed:
            return f"At most {self.limit:.1%} of verdicts change, with 95% confidence."
        if self.share.low > self.limit:
            return f"More than {self.limit:.1%} of verdicts change: build a bundle for this model."
        return (
            f"That at most {self.limit:.1%} of verdicts change is not shown: give more inputs (at least "
            f"{_needed(self.limit):,}, of which none may change), allow more, or build a bundle for this model."
        )


def _needed(limit: float) -> int:
    """Inputs without a change that show a limit: ``(1 - limit)^n <= (1 - confidence) / 2``."""
    return int(np.ceil(np.log((1 - CONFIDENCE) / 2) / np.log1p(-limit)))


def recheck(
    bundle: Bundle,
    data: Any,
    *,
    original: Any,
    other: Any,
    limit: float = MOST,
    device: str | None = None,
    **options: Any,
) -> tuple[Recheck, Bundle]:
    """Compare what a bundle says of the same inputs with its own model and with another, and the bundle for the other.

    Parameters
    ----------
    data : data
        Inputs as they come in production, as for ``evaluate``. Labels are not needed.
    original, other : str or object
        The model that the bundle was built with, and the other, as for ``open_model``, which takes ``options``.
    limit : float
        The share of changed verdicts that passes.
    device : str, optional
        Where the other model computes.

    Returns
    -------
    Recheck
    Bundle
        The same detector and thresholds, with the other model's digest and the record of this comparison among its
        checks and limits. Whether to use it is for :attr:`Recheck.passed` to say.

    Raises
    ------
    UserError
        An original that is not the bundle's model; another whose logits or features have another width or classes.
    """
    if not 0 < limit < 1:
        raise UserError(f"Expected a limit in (0, 1), but got {limit:g}. Give the share of verdicts that may change.")
    items, placed = dataset(data), {} if device is None else {"device": device}
    first = Guarded(original, bundle, options).answers(items)
    changed = _Opened.of(bundle, other, items.read(slice(0, 2)), options | placed)
    second = Guarded(changed.model, changed.bundle, {}).answers(items)
    found = compared(first, second, spread=bundle.spread, limit=limit)
    return found, _recorded(changed.bundle, bundle, found)


def compared(first: Answers, second: Answers, *, spread: float, limit: float = MOST) -> Recheck:
    """How two answers to the same inputs differ; ``spread`` is the calibration scores' standard deviation.

    Examples
    --------
    >>> from outfield.guard.verdicts import Verdicts
    >>> some = Answers(np.zeros(2), Verdicts(np.array([0.0, 2.0]), np.ones(2), np.array(["id", "id"])))
    >>> other = Answers(np.zeros(2), Verdicts(np.array([0.0, 3.0]), np.ones(2), np.array(["id", "ood"])))
    >>> found = compared(some, other, spread=2.0)
    >>> found.verdicts, found.largest, found.passed
    (1, 0.5, False)
    """
    gaps = _gaps(first.score, second.score) / spread
    same_p = (first.p == second.p) | (np.isnan(first.p) & np.isnan(second.p))
    return Recheck(
        len(first), int((first.verdict != second.verdict).sum()), int((~same_p).sum()),
        int(_differ(first.prediction, second.prediction).sum()), float(gaps.max()), float(np.median(gaps)), limit,
    )  # fmt: skip


def _gaps(first: Array, second: Array) -> Array:
    """Absolute differences; infinite where one score is missing, zero where both are."""
    missing = np.isnan(first), np.isnan(second)
    gaps = np.where(missing[0] | missing[1], np.inf, np.abs(first - second))
    return np.where(missing[0] & missing[1], 0.0, gaps)


def _differ(first: Array, second: Array) -> Array:
    other = first != second
    return np.asarray(other if other.ndim == 1 else other.any(axis=1))


@dataclass(frozen=True)
class _Opened:
    """Another model, and the bundle with that model in the place of its own."""

    model: Model
    bundle: Bundle

    @classmethod
    def of(cls, bundle: Bundle, other: Any, some: Any, options: dict[str, Any]) -> _Opened:
        model = open_model(other, **{"example": some, **options})
        part = bundle.manifest.model
        _check_classes(part, model)
        with model.evaluating():
            out = model.forward(model.prepare(some))
        named = {
            "adapter": type(model).__name__,
            "id": model.name,
            "digest": model.digest(),
            "dtype": _dtype(out),
            "device": device_of(model),
        }
        manifest = bundle.manifest.model_copy(update={"model": part.model_copy(update=named), "onnx": None})
        return cls(model, replace(bundle, manifest=manifest.sealed(), onnx=b""))


def _check_classes(part: ModelPart, model: Model) -> None:
    if part.classes is not None and model.classes is not None and list(model.classes) != part.classes:
        raise UserError(
            f"Expected the classes of this bundle's model ({', '.join(part.classes[:5])} ...) in its order, but "
            f"{model.name!r} has {', '.join(model.classes[:5])} ... It is another model: build a bundle for it."
        )


def _dtype(out: Outputs) -> str:
    return str(getattr(out, out.present[0]).dtype).removeprefix("torch.")


def _recorded(bundle: Bundle, source: Bundle, found: Recheck) -> Bundle:
    """The bundle with the record of a comparison, and what it does to the promise."""
    model = bundle.manifest.model
    record = (
        f"Built for {source.manifest.model.adapter} {source.manifest.model.id!r} (bundle {source.manifest.digest}) and "
        f"re-checked for {model.adapter} {model.id!r} (digest {model.digest}): {found.said} {found.verdict}"
    )
    limit = (
        "The promises were certified with the model that the bundle was built for. With this one the share of false "
        f"alarms may be larger by the share of verdicts that change: up to {found.share.high:.2%} on inputs like those "
        "of the re-check."
    )
    manifest = bundle.manifest.model_copy(
        update={"checks": [*bundle.manifest.checks, record], "limits": [*bundle.manifest.limits, limit]}
    )
    return replace(bundle, manifest=manifest.sealed())

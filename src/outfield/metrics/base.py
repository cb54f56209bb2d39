"""What a metric is: plain arrays in, an ``Estimate`` out. OOD is the positive class, higher scores are further out.

Five bases say what a metric reads, so that a runner can feed it and arrays can be passed as they are:

========================  ==============  =====================================  =============================
base                      ``inputs``      ``of`` takes                           called on arrays
========================  ==============  =====================================  =============================
``RankingMetric``         ``ranking``     ``Ranking``                            ``(id_scores, ood_scores)``
``PredictionMetric``      ``predictions`` ``Predictions``                        ``(logits, labels)``
``ErrorMetric``           ``diagnostic``  ``IdScores`` with ``correct``          ``(id_scores, correct)``
``DiagnosticMetric``      ``diagnostic``  ``Ranking`` of such ``IdScores``       ``(id_scores, correct, ood)``
``MeritMetric``           ``merit``       ``Merits``                             ``(merits)`` or ``(merits, scores)``
========================  ==============  =====================================  =============================

A task names the merit metrics that it is measured by (``Task.measures``): a merit is what the task says it is. Those
that read a detector's scores beside (``of_detector``) are taken wherever merits are more than right or wrong.

Called on arrays, each but the last takes ``weights=`` of its ID samples (and ``ood_weights=``): class-balanced,
importance or survey weights. A value then is that of a data set in which a row of weight w stands w times. The interval
knows that it does not: it is that of the rows that were drawn, each with its weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from numpy.typing import ArrayLike

from outfield.metrics._merits import Merits
from outfield.metrics._predictions import Predictions
from outfield.metrics._ranking import (
    IdScores,
    Placements,
    Ranking,
    check_identities,
    delong,
    delong_covariance,
    delong_difference,
)
from outfield.types import Estimate

__all__ = [
    "DiagnosticMetric",
    "ErrorMetric",
    "IdScores",
    "MeritMetric",
    "Merits",
    "Metric",
    "Placements",
    "PredictionMetric",
    "Predictions",
    "Ranking",
    "RankingMetric",
    "check_identities",
    "delong",
    "delong_covariance",
    "delong_difference",
]

Data = TypeVar("Data")
Inputs = Literal["ranking", "predictions", "diagnostic", "merit"]


@dataclass(frozen=True)
class Metric(ABC, Generic[Data]):
    """A measure with its uncertainty. Its fields are its parameters.

    Examples
    --------
    >>> from outfield.metrics.auroc import Auroc
    >>> Auroc.inputs, Auroc.per_set, Auroc.higher_is_better, Auroc.label
    ('ranking', True, True, 'AUROC')
    """

    inputs: ClassVar[Inputs]
    """What it is computed from."""
    per_set: ClassVar[bool]
    """Whether it has one value for each OOD set (else one for the ID set alone)."""
    higher_is_better: ClassVar[bool]
    label: ClassVar[str]
    """Its name in text and figures."""

    @abstractmethod
    def of(self, data: Data) -> Estimate:
        """The value, with a 95% interval where one is sound."""

    def defined(self, data: Data) -> bool:
        """Whether there is anything to compute: diagnostics need right and wrong predictions."""
        return True


@dataclass(frozen=True)
class RankingMetric(Metric[Ranking]):
    """A measure of how ID and OOD scores are ordered.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Missed(RankingMetric):
    ...     def of(self, data):
    ...         return Estimate(float((data.ood <= data.id.values[-1]).mean()), n=data.n)
    >>> Missed()([0.1, 0.2, 0.3], [0.2, 0.9]).value
    0.5
    """

    inputs: ClassVar[Inputs] = "ranking"
    per_set: ClassVar[bool] = True

    def __call__(
        self,
        id_scores: ArrayLike,
        ood_scores: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        ood_weights: ArrayLike | None = None,
    ) -> Estimate:
        """Of plain scores [n] and [m], higher further out, and of weights of the ID [n] and OOD samples [m]."""
        return self.of(IdScores(id_scores, weights=weights).against(ood_scores, ood_weights))


@dataclass(frozen=True)
class PredictionMetric(Metric[Predictions]):
    """A measure of a classifier's predictions; no detector is involved.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class ErrorRate(PredictionMetric):
    ...     def of(self, data):
    ...         return Estimate(1 - float(data.correct.mean()), n=len(data))
    >>> ErrorRate()([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.0]], [0, 1, 0, 1]).value
    0.25
    """

    inputs: ClassVar[Inputs] = "predictions"
    per_set: ClassVar[bool] = False

    def __call__(self, logits: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> Estimate:
        """Of logits [n, C], labels [n] and weights of the samples [n]."""
        return self.of(Predictions(logits, labels, weights))


@dataclass(frozen=True)
class ErrorMetric(Metric[IdScores]):
    """A measure of how a detector's ID scores tell the model's errors; no OOD set is involved.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Gap(ErrorMetric):
    ...     def of(self, data):
    ...         return Estimate(float(data.part(False).values.mean() - data.part(True).values.mean()), n=len(data))
    >>> round(Gap()([0.1, 0.3, 0.9], [True, True, False]).value, 3)
    0.7
    """

    inputs: ClassVar[Inputs] = "diagnostic"
    per_set: ClassVar[bool] = False

    def __call__(self, id_scores: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> Estimate:
        """Of ID scores [n], whether each sample is classified rightly [n], and weights of the samples [n]."""
        return self.of(IdScores(id_scores, correct, weights))


@dataclass(frozen=True)
class DiagnosticMetric(Metric[Ranking]):
    """A measure of rightly or wrongly classified ID samples against an OOD set.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Caught(DiagnosticMetric):
    ...     def of(self, data):
    ...         return Estimate(float((data.ood > data.id.part(True).values[-1]).mean()), n=data.n)
    >>> Caught()([0.1, 0.3, 0.9], [True, True, False], [0.2, 0.4]).value
    0.5
    """

    inputs: ClassVar[Inputs] = "diagnostic"
    per_set: ClassVar[bool] = True

    def __call__(
        self,
        id_scores: ArrayLike,
        correct: ArrayLike,
        ood_scores: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        ood_weights: ArrayLike | None = None,
    ) -> Estimate:
        """Of ID scores [n], whether each is classified rightly [n], OOD scores [m], and weights of both kinds."""
        return self.of(IdScores(id_scores, correct, weights).against(ood_scores, ood_weights))


@dataclass(frozen=True)
class MeritMetric(Metric[Merits]):
    """A measure of how good a model's answers are, or of how a detector's scores follow that.

    Examples
    --------
    >>> from outfield.metrics.mean_absolute_error import MeanAbsoluteError
    >>> MeanAbsoluteError()([-1.0, -3.0]).value
    2.0
    """

    inputs: ClassVar[Inputs] = "merit"
    per_set: ClassVar[bool] = False
    of_detector: ClassVar[bool] = False
    """Whether it reads a detector's scores beside the merits."""

    def __call__(self, merits: ArrayLike, scores: ArrayLike | None = None) -> Estimate:
        """Of merits [n], higher better, and where it reads them the scores [n] of the same items."""
        return self.of(Merits(merits, scores))

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._gaussian import nearest, tied
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MDS(Detector):
    """Mahalanobis distance to the nearest class mean, ``min_c (f - mu_c)^T S^+ (f - mu_c)`` [1].

    S is the within-class covariance that all classes share, divided by N; its pseudo-inverse leaves out
    directions without variance. On the penultimate features, without input noise; float64 throughout.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[0.0, 1.0], [0.0, -1.0], [9.0, 1.0], [9.0, -1.0]]))
    >>> state = MDS().fit(FitData.of(train))
    >>> MDS().score(Outputs(features=torch.tensor([[0.0, 0.0], [0.0, 3.0]])), state)
    tensor([0., 9.], dtype=torch.float64)

    References
    ----------
    [1] Lee, Lee, Lee, Shin. A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
        Attacks. NeurIPS 2018.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        return tied(data.moments)

    def score(self, out: Outputs, state: State) -> Tensor:
        whitener, means = state["whitener"], state["means"]
        return in_pieces(lambda rows: nearest(rows, whitener, means), len(whitener) + len(means), out.features)

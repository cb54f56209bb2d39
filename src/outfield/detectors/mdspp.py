from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._gaussian import nearest, tied
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MDSPP(Detector):
    """Mahalanobis++: MDS on features of length one, ``min_c (n(f) - mu_c)^T S^+ (n(f) - mu_c)`` [1].

    ``n(f) = f / |f|``; means and the within-class covariance S are those of the training rows of length one. Float64.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[4.0, 3.0], [8.0, -6.0], [-4.0, 3.0], [-4.0, -3.0]]))
    >>> state = MDSPP().fit(FitData.of(train))
    >>> MDSPP().score(Outputs(features=torch.tensor([[8.0, 6.0], [80.0, 60.0]])), state)
    tensor([1.0000, 1.0000], dtype=torch.float64)

    References
    ----------
    [1] Mueller, Hein. Mahalanobis++: Improving OOD Detection via Feature Normalization. ICML 2025.
    """

    title: ClassVar[str] = "MDS++"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(on_sphere=True),)

    def fit(self, data: FitData) -> State:
        return tied(data.fold(Moments(on_sphere=True)))

    def score(self, out: Outputs, state: State) -> Tensor:
        whitener, means = state["whitener"], state["means"]
        width = 2 * len(whitener) + len(means)
        return in_pieces(lambda rows: nearest(unit(rows.double()), whitener, means), width, out.features)

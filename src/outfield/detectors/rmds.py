from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._gaussian import relative, tied_with_background
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class RMDS(Detector):
    """Relative Mahalanobis distance, ``min_c MDS_c(f) - (f - mu_0)^T S_0^+ (f - mu_0)`` [1].

    ``mu_0`` and ``S_0`` are the mean and covariance of all training rows, whatever their class; both covariances are
    divided by N. Float64 throughout.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[-3.0, 1.0], [-3.0, -1.0], [3.0, 1.0], [3.0, -1.0]]))
    >>> state = RMDS().fit(FitData.of(train))
    >>> RMDS().score(Outputs(features=torch.tensor([[-3.0, 1.0], [0.0, 1.0]])), state)
    tensor([-1., 0.], dtype=torch.float64)

    References
    ----------
    [1] Ren, Fort, Liu, Roy, Padhy, Lakshminarayanan. A Simple Fix to Mahalanobis Distance for Improving
        Near-OOD Detection. ICML Workshop on Uncertainty and Robustness in Deep Learning, 2021.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def fit(self, data: FitData) -> State:
        return tied_with_background(data.moments)

    def score(self, out: Outputs, state: State) -> Tensor:
        width = 2 * len(state["whitener"]) + len(state["means"])
        return in_pieces(lambda rows: relative(rows, state), width, out.features)

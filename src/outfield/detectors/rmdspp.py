from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors._gaussian import relative, tied_with_background
from outfield.detectors.mdspp import MDSPP
from outfield.features.fit_data import FitData
from outfield.features.moments import Moments, unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class RMDSPP(MDSPP):
    """Relative Mahalanobis++: RMDS on features of length one [1, 2].

    ``min_c MDS_c(n) - (n - mu_0)^T S_0^+ (n - mu_0)`` with ``n = f / |f|``; all means and covariances are those of the
    training rows of length one. Float64.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[4.0, 3.0], [8.0, -6.0], [-4.0, 3.0], [-4.0, -3.0]]))
    >>> state = RMDSPP().fit(FitData.of(train))
    >>> RMDSPP().score(Outputs(features=torch.tensor([[8.0, 6.0], [80.0, 60.0]])), state)
    tensor([-1.0000, -1.0000], dtype=torch.float64)

    References
    ----------
    [1] Mueller, Hein. Mahalanobis++: Improving OOD Detection via Feature Normalization. ICML 2025.
    [2] Ren, Fort, Liu, Roy, Padhy, Lakshminarayanan. A Simple Fix to Mahalanobis Distance for Improving
        Near-OOD Detection. ICML Workshop on Uncertainty and Robustness in Deep Learning, 2021.
    """

    title: ClassVar[str] = "RMDS++"

    def fit(self, data: FitData) -> State:
        return tied_with_background(data.fold(Moments(on_sphere=True)))

    def score(self, out: Outputs, state: State) -> Tensor:
        width = 2 * len(state["whitener"]) + len(state["means"])
        return in_pieces(lambda rows: relative(unit(rows.double()), state), width, out.features)

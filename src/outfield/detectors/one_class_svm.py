from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class OneClassSVM(Detector):
    """One-class support vector machine on the features, ``rho - sum_i a_i exp(-gamma |f - v_i|^2)`` [1].

    Fitted by scikit-learn with its ``gamma = 1 / (D var f)``; the support vectors, their weights, gamma and rho are
    what is kept. Rows that are far from all support vectors are tied at rho.

    Parameters
    ----------
    nu : float
        Upper bound of the share of training rows outside, lower bound of the share that are support vectors.
    limit : int
        Most training rows: the fit takes their square.
    seed : int
        Of the draw.

    Examples
    --------
    >>> train = Outputs(features=torch.linspace(-1, 1, 40)[:, None])
    >>> svm = OneClassSVM()
    >>> near, far = svm.score(Outputs(features=torch.tensor([[0.0], [3.0]])), svm.fit(FitData.of(train)))
    >>> bool(near < 0 < far)
    True

    References
    ----------
    [1] Schölkopf, Platt, Shawe-Taylor, Smola, Williamson. Estimating the Support of a High-Dimensional Distribution.
        Neural Computation 2001.
    """

    nu: float = 0.5
    limit: int = 1000
    seed: int = 0

    title: ClassVar[str] = "One-class SVM"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"nu": (0.01, 0.1, 0.5)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"nu": (1e-3, 1), "limit": (2, 1e5), "seed": (0, 2**62)}

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Bank(("features",), limit=self.limit, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        from sklearn.svm import OneClassSVM as Fitted

        (bank,) = self.folds()
        rows = data.fold(bank)["features"]
        fitted = Fitted(nu=self.nu).fit(rows.double().cpu().numpy())
        learned = {
            "vectors": fitted.support_vectors_,
            "weights": fitted.dual_coef_[0],
            "rho": -fitted.intercept_,
            "gamma": [fitted._gamma],
        }
        return {name: torch.tensor(value, dtype=torch.float64, device=rows.device) for name, value in learned.items()}

    def score(self, out: Outputs, state: State) -> Tensor:
        vectors, squares = state["vectors"], state["vectors"].square().sum(1)

        def kernels(rows: Tensor) -> Tensor:
            distances = (rows.square().sum(1, keepdim=True) + squares - 2 * rows @ vectors.T).clamp(min=0)
            return (-state["gamma"] * distances).exp() @ state["weights"]

        return state["rho"] - in_pieces(kernels, 2 * len(vectors), out.features.double())

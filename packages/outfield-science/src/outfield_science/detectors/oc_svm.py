from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn import svm
from torch import Tensor

from outfield.types import State
from outfield_science.detectors._one_class import OneClassMethod


@dataclass(frozen=True)
class OneClassSVM(OneClassMethod):
    """One-class support vector machine, ``rho - sum_i a_i exp(-gamma |z - z_i|^2)`` [1], on principal components.

    ``gamma`` is one over the number of components times their variance; the solver is scikit-learn's.

    Parameters
    ----------
    nu : float
        Largest share of the training inputs outside, and smallest share that are support vectors.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> from outfield.types import Outputs
    >>> method = OneClassSVM(nu=0.5)
    >>> state = method.fit(FitData.of(Outputs(inputs=torch.tensor([[-1.0], [-0.5], [0.0], [0.5], [1.0]]))))
    >>> near, far = method.score(Outputs(inputs=torch.tensor([[0.1], [4.0]])), state)
    >>> bool(near < far)
    True

    References
    ----------
    [1] Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson. Estimating the Support of a High-Dimensional Distribution.
        Neural Computation 2001.
    """

    nu: float = 0.01

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {**OneClassMethod.bounds, "nu": (1e-6, 1.0)}

    def learned(self, z: Tensor) -> State:
        gamma = 1 / (z.shape[1] * float(z.var(correction=0)) or 1.0)
        machine = svm.OneClassSVM(nu=self.nu, gamma=gamma).fit(z.cpu().numpy())
        found = {"vectors": machine.support_vectors_, "weights": machine.dual_coef_[0], "rho": -machine.intercept_}
        state = {name: torch.from_numpy(value.copy()).to(z) for name, value in found.items()}
        return state | {"gamma": z.new_tensor([gamma])}

    def outlyingness(self, z: Tensor, state: State) -> Tensor:
        squares = torch.cdist(z, state["vectors"], compute_mode="donot_use_mm_for_euclid_dist").square()
        return state["rho"] - (-state["gamma"] * squares).exp() @ state["weights"]

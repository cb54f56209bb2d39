from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from outfield.detectors._class_means import MeansOfRight
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State


@dataclass(frozen=True)
class SHE(Detector):
    """Simplified Hopfield energy: inner product with the pattern of the predicted class, ``-f . S_argmax(z)`` [1].

    ``S_c`` is the mean feature of training rows of class c that are predicted as c.

    Raises
    ------
    UserError
        By ``fit``, where no row of a class is predicted right.

    Examples
    --------
    >>> import torch
    >>> train = Outputs(logits=torch.eye(2), features=3 * torch.eye(2), labels=torch.tensor([0, 1]))
    >>> out = Outputs(logits=torch.tensor([[1.0, 0.0]]), features=torch.tensor([[2.0, 5.0]]))
    >>> SHE().score(out, SHE().fit(FitData.of(train)))
    tensor([-6.])

    References
    ----------
    [1] Zhang, Fu, Chen, Du, Li, Wang, Liu, Han, Zhang. Out-of-Distribution Detection Based on In-Distribution Data
        Patterns Memorization with Modern Hopfield Energy. ICLR 2023.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (MeansOfRight("features"),)

    def fit(self, data: FitData) -> State:
        return {"patterns": data.fold(MeansOfRight("features")).to(data.first.features.dtype)}

    def score(self, out: Outputs, state: State) -> Tensor:
        return -(out.features * state["patterns"][out.logits.argmax(1)]).sum(1)

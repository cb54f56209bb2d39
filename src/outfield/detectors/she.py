from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
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
        return (_Patterns(),)

    def fit(self, data: FitData) -> State:
        return {"patterns": data.fold(_Patterns()).to(data.first.features)}

    def score(self, out: Outputs, state: State) -> Tensor:
        patterns = state["patterns"].to(out.features.device)
        return -(out.features * patterns[out.logits.argmax(1)]).sum(1)


@dataclass(frozen=True)
class _Patterns(Fold[Tensor, Tensor]):
    """Mean feature of the rows of each class that are predicted right, [C, D]; sums carry their count last."""

    def start(self, like: Outputs) -> Tensor:
        shape = like.logits.shape[1], like.features.shape[1] + 1
        return torch.zeros(shape, dtype=torch.float64, device=like.features.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        right = chunk[chunk.logits.argmax(1) == chunk.labels]
        return total.index_add_(0, right.labels, torch.nn.functional.pad(right.features.double(), (0, 1), value=1.0))

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        if absent := torch.nonzero(total[:, -1] == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class that the model predicts right, but class "
                f"{', '.join(map(str, absent))} has none. Train the model further, or choose another detector."
            )
        return total[:, :-1] / total[:, -1:]

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors._banks import share_of
from outfield.detectors._gaussian import squares
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class GROOD(Detector):
    """Distance to the k-th nearest training row by the gradient of a nearest-prototype loss at an OOD prototype [1].

    Prototypes are the class means and one of OOD; the loss is the cross entropy of ``-|f - P_c|`` with the predicted
    class. Its gradient at the OOD prototype is ``p_o (f - P_o) / |f - P_o|``, p_o its softmax: no backward pass.
    ``P_o`` is the mean of ``mix f + (1 - mix) P_s`` over training rows, s their second likeliest class: the
    authors' mixed OOD, here at the penultimate layer. The bank holds training rows that are predicted right. Float64.

    Parameters
    ----------
    k : int
        Clipped to the rows of the bank.
    mix : float
        Weight of the feature in the OOD prototype.
    share : float, optional
        Share of the training rows in the bank; by default all up to 100,000 rows, else 1%.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where a class has no rows, or no row of the bank is predicted right.

    Examples
    --------
    >>> train = Outputs(9 * torch.eye(2), 4 * torch.eye(2), torch.tensor([0, 1]))
    >>> state = GROOD().fit(FitData.of(train))
    >>> state["prototypes"][-1].tolist()
    [2.0, 2.0]
    >>> GROOD().score(Outputs(features=torch.tensor([[4.0, 0.0], [2.0, 3.0]])), state).round(decimals=2)
    tensor([0.0000, 0.6900], dtype=torch.float64)

    References
    ----------
    [1] ElAraby, Sahoo, Pequignot, Novello, Paull. GROOD: GRadient-aware Out-Of-Distribution detection. TMLR 2025.
    """

    k: int = 1
    mix: float = 0.5
    share: float | None = None
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "gradients"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"k": (1, 10, 50), "mix": (0.5, 0.8, 1.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "k": (1, 1e9),
        "mix": (0, 1),
        "share": (1e-6, 1),
        "seed": (0, 2**62),
    }

    def clipped(self, data: FitData) -> Self:
        share = share_of(len(data.train)) if self.share is None else self.share
        return replace(self, share=share, k=min(self.k, max(1, int(share * len(data.train)))))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        bank = Bank(("features", "logits", "labels"), self.share or 1.0, seed=self.seed)
        return (Moments(), _SecondChoices(), *([] if self.share is None else [bank]))

    def fit(self, data: FitData) -> State:
        *_, bank = self.clipped(data).folds()
        means = data.moments.class_means
        mixed = self.mix * data.moments.mean + (1 - self.mix) * data.fold(_SecondChoices()) @ means
        prototypes = torch.cat([means, mixed[None]])
        rows = data.fold(bank).outputs()
        right = rows.logits.argmax(1) == rows.labels
        if not right.any():
            raise UserError(
                "Expected training rows that the model predicts right, but there is none. Train the model further, "
                "or choose another detector."
            )
        return {"prototypes": prototypes, "gradients": gradients(rows.features[right].double(), prototypes).float()}

    def score(self, out: Outputs, state: State) -> Tensor:
        prototypes, bank = state["prototypes"], state["gradients"]
        k = min(self.k, len(bank))

        def distance(features: Tensor) -> Tensor:
            rows = gradients(features.double(), prototypes)
            nearest = squares(rows, bank.double()).topk(k, dim=1, largest=False).indices[:, -1]
            return (rows - bank[nearest].double()).square().sum(1).sqrt()

        return in_pieces(distance, 3 * len(bank) + 3 * prototypes.shape[1], out.features)


def gradients(features: Tensor, prototypes: Tensor) -> Tensor:
    """Gradient of the loss at the last prototype, ``p_o (f - P_o) / |f - P_o|``, [n, D]; zero at the prototype.

    Examples
    --------
    >>> gradients(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
    tensor([[-0.5000,  0.0000]])
    """
    probability = torch.softmax(-squares(features, prototypes).sqrt(), dim=1)[:, -1:]
    return probability * torch.nn.functional.normalize(features - prototypes[-1], dim=1)


@dataclass(frozen=True)
class _SecondChoices(Fold[Tensor, Tensor]):
    """Share of the training rows for which each class is the second likeliest, [C], in float64.

    Examples
    --------
    >>> out = Outputs(logits=torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 2.0]]))
    >>> fold = _SecondChoices()
    >>> fold.finish(fold.update(fold.start(out), out, first=0))
    tensor([0., 0., 1.], dtype=torch.float64)
    """

    reads: ClassVar[tuple[str, ...] | None] = ("logits",)

    def start(self, like: Outputs) -> Tensor:
        return torch.zeros(like.logits.shape[1], dtype=torch.float64, device=like.logits.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        second = chunk.logits.topk(2, dim=1).indices[:, 1]
        return total + torch.bincount(second, minlength=len(total))

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        return total / total.sum()

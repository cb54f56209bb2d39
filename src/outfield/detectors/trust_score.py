from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors._banks import share_of
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class TrustScore(Detector):
    """How much closer another class is than the predicted one, ``d_y / (d_y + d_other)`` [1].

    ``d_y`` is the distance to the nearest training row of the predicted class, ``d_other`` that to the nearest of any
    other class. The paper's trust is ``d_other / d_y = 1 / s - 1``. No training rows are filtered out (its alpha is 0).

    Parameters
    ----------
    share : float, optional
        Share of the training rows in the bank; by default all up to 100,000 rows, else 1%.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where the bank has no row of a class.

    Examples
    --------
    >>> train = Outputs(logits=torch.eye(2), features=torch.tensor([[0.0], [4.0]]), labels=torch.tensor([0, 1]))
    >>> state = TrustScore().fit(FitData.of(train))
    >>> TrustScore().score(Outputs(logits=torch.tensor([[1.0, 0.0]] * 2), features=torch.tensor([[1.0], [3.0]])), state)
    tensor([0.2500, 0.7500], dtype=torch.float64)

    References
    ----------
    [1] Jiang, Kim, Guan, Gupta. To Trust or Not to Trust a Classifier. NeurIPS 2018.
    """

    share: float | None = None
    seed: int = 0

    title: ClassVar[str] = "Trust score"
    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"share": (1e-6, 1), "seed": (0, 2**62)}

    def clipped(self, data: FitData) -> Self:
        return replace(self, share=share_of(len(data.train)) if self.share is None else self.share)

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return () if self.share is None else (Bank(("features", "labels"), self.share, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        (bank,) = self.clipped(data).folds()
        rows = data.fold(bank)
        present = torch.bincount(rows["labels"], minlength=data.classes)
        if absent := torch.nonzero(present == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class in the bank, but class {', '.join(map(str, absent))} has none. "
                "Fit on training data that holds each class, or take a larger share."
            )
        return {"bank": rows["features"], "labels": rows["labels"]}

    def score(self, out: Outputs, state: State) -> Tensor:
        bank, labels = state["bank"].double(), state["labels"]
        predicted = out.logits.argmax(1)
        width = 6 * len(bank)
        return in_pieces(lambda f, y: _share(f.double(), labels == y[:, None], bank), width, out.features, predicted)


def _share(rows: Tensor, same: Tensor, bank: Tensor) -> Tensor:
    """Neighbours by one product; their distances from the differences, which keeps small ones exact."""
    closeness = 2 * rows @ bank.T - bank.square().sum(1)
    own, other = (_distance(rows, bank, closeness.masked_fill(left_out, -torch.inf)) for left_out in (~same, same))
    return torch.where(own + other > 0, own / (own + other).clamp(min=torch.finfo(own.dtype).tiny), 0.5)


def _distance(rows: Tensor, bank: Tensor, closeness: Tensor) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(rows - bank[closeness.argmax(1)], dim=1)
    return distances

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._banks import as_bank, on_sphere
from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Relation(Detector):
    """Relations to training rows alike in features and predictions, ``-sum_i 1[r_i > t] r_i^power`` [1].

    ``r_i = max(0, n(f) . n(f_i)) (p . p_i)`` with p the softmax.

    Parameters
    ----------
    power : float
    threshold : float
        t, below which a relation does not count.
    limit : int
        Rows of the bank: all of a smaller training set, else so many, drawn at random.
    seed : int
        Of the draw.

    Examples
    --------
    >>> train = Outputs(logits=torch.tensor([[99.0, 0.0], [0.0, 99.0]]), features=torch.eye(2))
    >>> state = Relation().fit(FitData.of(train))
    >>> Relation().score(Outputs(logits=torch.zeros(1, 2), features=torch.tensor([[3.0, 4.0]])), state)
    tensor([-0.7000])

    References
    ----------
    [1] Kim, Jeong, Choi, Hong, Yun. Neural Relation Graph: A Unified Framework for Identifying Label Noise and
        Outlier Data. NeurIPS 2023.
    """

    power: float = 1.0
    threshold: float = 0.03
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"power": (1.0, 2.0, 4.0, 6.0, 8.0)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "power": (1e-3, 1e3),
        "threshold": (0, 1),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank(("features", "logits"), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        rows = data.fold(self._bank)
        return {"features": as_bank(rows), "logits": rows["logits"]}

    def score(self, out: Outputs, state: State) -> Tensor:
        features, p = unit(out.features), torch.softmax(out.logits, dim=1)
        total = torch.zeros_like(features[:, 0])
        for rows, logits in zip(state["features"].split(_PIECE), state["logits"].split(_PIECE), strict=True):
            total += self._related(features, p, on_sphere(rows, features), torch.softmax(logits.to(p.dtype), dim=1))
        return -total

    def _related(self, features: Tensor, p: Tensor, bank: Tensor, bank_p: Tensor) -> Tensor:
        """Sums of the relations to a piece of the bank, [n]."""

        def related(features: Tensor, p: Tensor) -> Tensor:
            r = (features @ bank.T).mul_(p @ bank_p.T)
            r = torch.where(r > self.threshold, r, 0.0)
            return (r if self.power == 1 else r.pow_(self.power)).sum(1)

        return in_pieces(related, 4 * len(bank), features, p)


_PIECE = 2048
"""Rows of the bank that are widened at a time."""

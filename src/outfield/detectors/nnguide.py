from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield.detectors._banks import as_bank, on_sphere, share_of
from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import unit
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class NNGuide(Detector):
    """Nearest-neighbour guidance: energy times similarity to sure training rows, ``-E(z) mean_(top k) n(f) . g_i`` [1].

    The bank holds ``g_i = E(z_i) n(f_i)`` with ``E(z) = logsumexp(z)``. Warns where energies are not positive, for
    which the product was not made.

    Parameters
    ----------
    k : int, optional
        Clipped to the rows of the bank; by default 10 with all rows, 100 with 1%, as in the paper.
    share : float, optional
        Share of the training rows in the bank; by default all up to 100,000 rows, else 1%.
    seed : int
        Of the draw.

    Examples
    --------
    >>> train = Outputs(logits=torch.tensor([[2.0, -9.0], [-9.0, 2.0]]), features=torch.eye(2))
    >>> guide = NNGuide(k=1)
    >>> out = Outputs(logits=torch.tensor([[3.0, -9.0]]), features=torch.eye(2)[:1])
    >>> guide.score(out, guide.fit(FitData.of(train)))
    tensor([-6.0001])

    References
    ----------
    [1] Park, Jung, Teoh. Nearest Neighbor Guidance for Out-of-Distribution Detection. ICCV 2023.
    """

    k: int | None = None
    share: float | None = None
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"k": (1, 1e9), "share": (1e-6, 1), "seed": (0, 2**62)}

    def clipped(self, data: FitData) -> Self:
        share = share_of(len(data.train)) if self.share is None else self.share
        k = (10 if share == 1 else 100) if self.k is None else self.k
        return replace(self, share=share, k=min(k, max(1, int(share * len(data.train)))))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return () if self.share is None else (Bank(("features", "logits"), self.share, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        settled = self.clipped(data)
        (bank,) = settled.folds()
        rows = data.fold(bank)
        energies = torch.cat([chunk.logits.logsumexp(1) for chunk in rows.chunks()])
        return {
            "bank": as_bank(rows),
            "energies": _positive(energies),
            "k": torch.tensor([settled.k]),
        }

    def score(self, out: Outputs, state: State) -> Tensor:
        bank, energies = on_sphere(state["bank"], out.features), state["energies"]
        k = min(int(state["k"]), len(bank))

        def guidance(rows: Tensor) -> Tensor:
            return (rows @ bank.T).mul_(energies).topk(k, dim=1).values.mean(1)

        return -in_pieces(guidance, 2 * len(bank), unit(out.features)) * out.logits.logsumexp(1)


def _positive(energies: Tensor) -> Tensor:
    if (energies <= 0).any():
        warnings.warn(
            "Some training rows have energies of zero or below: NNGuide multiplies by energies, "
            "and was made for positive ones.",
            stacklevel=3,
        )
    return energies

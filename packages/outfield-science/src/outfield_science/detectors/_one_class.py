"""Shallow one-class methods on what the model is given: a representation, its principal components, a method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.types import Outputs, State
from outfield_science import spd

REPRESENTATIONS = ("spectrum", "covariance", "tangent")


@dataclass(frozen=True)
class OneClassMethod(Detector):
    """A method that knows the normal training inputs alone.

    Parameters
    ----------
    representation : {"spectrum", "covariance", "tangent"}
        The inputs as they are; the covariance of the columns of each; or that in the tangent space at the mean
        covariance, under the affine-invariant metric.
    variance : float
        Share of the variance that the principal components keep.
    ridge : float
        What is added to the diagonal of a covariance.
    limit : int
        Training inputs: all of a smaller set, else so many, drawn at random.
    seed : int
        Of all that is drawn.
    """

    representation: Literal["spectrum", "covariance", "tangent"] = "spectrum"
    variance: float = 0.95
    ridge: float = 1e-3
    limit: int = 5000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"inputs"})
    information: ClassVar[str] = "inputs"
    modality: ClassVar[frozenset[str]] = frozenset({"pictures", "rows"})
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "variance": (1e-6, 1.0),
        "ridge": (1e-12, 1e12),
        "limit": (2, 1e9),
        "seed": (0, 2**32 - 1),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.representation not in REPRESENTATIONS:
            raise UserError(
                f"Expected a representation among {', '.join(REPRESENTATIONS)}, but got {self.representation!r}. "
                "Choose one of them."
            )

    @abstractmethod
    def learned(self, z: Tensor) -> State:
        """What the method learns of rows [n, k] in float64."""

    @abstractmethod
    def outlyingness(self, z: Tensor, state: State) -> Tensor:
        """The method's score of rows [n, k] in float64, [n]."""

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank(("inputs",), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        x = data.fold(self._bank).outputs().inputs
        base = {"base": spd.frechet_mean(spd.matrices(x, self.ridge))} if self.representation == "tangent" else {}
        rows = self._rows(x, base)
        state = base | {"mean": rows.mean(0)} | {"components": self._components(rows - rows.mean(0))}
        return state | self.learned(self._projected(rows, state))

    def _rows(self, x: Tensor, state: State) -> Tensor:
        if self.representation == "spectrum":
            return x.flatten(1).double()
        found = spd.matrices(x, self.ridge)
        return spd.tangent(state["base"], found) if self.representation == "tangent" else spd.upper(found)

    def _components(self, centred: Tensor) -> Tensor:
        """The directions [D, k] that keep the share of the variance."""
        _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
        share = lengths.square().cumsum(0) / lengths.square().sum().clamp(min=torch.finfo(lengths.dtype).tiny)
        kept: Tensor = directions[: 1 + int((share < self.variance).sum())]
        return kept.T.contiguous()

    def _projected(self, rows: Tensor, state: State) -> Tensor:
        return (rows - state["mean"]) @ state["components"]

    def score(self, out: Outputs, state: State) -> Tensor:
        return self.outlyingness(self._projected(self._rows(out.inputs, state), state), state)

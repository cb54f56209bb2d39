from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from outfield import keys
from outfield.detectors._residual import empty_space, narrow, norms, settled_dim
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class ViM(Detector):
    """Virtual-logit matching: residual of the feature against energy, ``alpha |(f - u) N| - logsumexp(z)`` [1].

    ``u = -W^+ b`` is the origin of the head; N holds the D - d eigenvectors of the smallest variances of the training
    features about u; alpha is the mean largest logit over the mean residual of the training rows. Float64.

    Parameters
    ----------
    d : int, optional
        Size of the principal space; by default 1000 where D >= 1500, 512 where D >= 768, else D / 2. Where the
        training features span no more than that (dead units), their rank takes the place of D.

    Raises
    ------
    UserError
        By ``fit``, where d is not below D, or the training features span a line or less.

    Examples
    --------
    >>> from outfield.types import Head
    >>> features = torch.tensor([[5.0, 0.1], [-5.0, -0.1], [5.0, -0.1], [-5.0, 0.1]])
    >>> train = Outputs(features, features, torch.tensor([0, 1, 0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> state = ViM().fit(FitData.of(train))
    >>> state["alpha"]
    tensor([25.0000], dtype=torch.float64)
    >>> ViM().score(Outputs(logits=torch.tensor([[7.0, -9.0]]), features=torch.tensor([[7.0, 2.0]])), state)
    tensor([43.0000], dtype=torch.float64)

    References
    ----------
    [1] Wang, Li, Feng, Zhang. ViM: Out-of-Distribution with Virtual-logit Matching. CVPR 2022.
    """

    d: int | None = None

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features"})
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"d": (1, 1e9)}

    def clipped(self, data: FitData) -> Self:
        return replace(self, d=settled_dim(self.d, data))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(),)

    def folds_on(self, data: FitData) -> tuple[Fold[Any, Any], ...]:
        return self.folds()

    def fit(self, data: FitData) -> State:
        space = empty_space(data, self.d)
        logit, residual = data.fold(_Means(keys.of_tensors(space), narrow(space, data)))
        _check(residual, float(data.moments.second.trace()) ** 0.5)
        return {**space, "alpha": torch.tensor([logit / residual], dtype=torch.float64)}

    def score(self, out: Outputs, state: State) -> Tensor:
        origin, null_space, alpha = (state[n] for n in ("origin", "null_space", "alpha"))

        def matched(features: Tensor, logits: Tensor) -> Tensor:
            return alpha * norms(features, origin, null_space) - torch.logsumexp(logits.double(), dim=1)

        return in_pieces(matched, 2 * len(origin) + out.logits.shape[1], out.features, out.logits)


_ROWS = 2048
"""Rows that are measured at a time."""


@dataclass(frozen=True)
class _Means(Fold[Tensor, "tuple[float, float]"]):
    """Mean largest logit and mean residual of the training rows, for a space known by its digest."""

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "features")

    digest: str
    space: State = field(compare=False)

    def start(self, like: Outputs) -> Tensor:
        return torch.zeros(3, dtype=torch.float64, device=like.features.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        origin, null_space = self.space["origin"], self.space["null_space"]
        residuals = torch.cat([norms(rows, origin, null_space) for rows in chunk.features.split(_ROWS)])
        logits = chunk.logits.amax(1)
        return total + torch.stack([*(one.double().sum() for one in (logits, residuals, torch.ones_like(logits)))])

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> tuple[float, float]:
        logit, residual, n = total.tolist()
        return logit / n, residual / n


def _check(residual: float, scale: float) -> None:
    if residual <= 1e-6 * scale:
        raise UserError(
            "Expected training features that reach beyond the principal space, but their mean residual is "
            f"{residual:.1e} where features measure {scale:.1e}. Choose a smaller d: many features are dead or "
            "depend on each other."
        )

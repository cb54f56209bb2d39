from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from outfield.detectors._residual import empty_space, norms, settled_dim
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Residual(Detector):
    """Norm of the feature outside the principal space, ``|(f - u) N|``: the first term of ViM [1].

    ``u = -W^+ b`` is the origin of the head; N holds the D - d eigenvectors of the smallest variances of the training
    features about u. Float64.

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
    >>> import torch
    >>> from outfield.types import Head
    >>> features = torch.tensor([[5.0, 0.1], [-5.0, -0.1], [5.0, -0.1], [-5.0, 0.1]])
    >>> train = Outputs(torch.zeros(4, 2), features, torch.tensor([0, 1, 0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> Residual().score(Outputs(features=torch.tensor([[7.0, 2.0]])), Residual().fit(FitData.of(train)))
    tensor([2.], dtype=torch.float64)

    References
    ----------
    [1] Wang, Li, Feng, Zhang. ViM: Out-of-Distribution with Virtual-logit Matching. CVPR 2022.
    """

    d: int | None = None

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
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
        return empty_space(data, self.d)

    def score(self, out: Outputs, state: State) -> Tensor:
        origin, null_space = (state[name] for name in ("origin", "null_space"))
        return in_pieces(lambda rows: norms(rows, origin, null_space), 2 * len(origin), out.features)

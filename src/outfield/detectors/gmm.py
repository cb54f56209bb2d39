from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, MomentSums, whitener
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State

_CELLS = 1 << 24
"""Numbers of all classes' covariances beyond which one serves them all."""


@dataclass(frozen=True)
class GMM(Detector):
    """Gaussian mixture of the features with one component a class, ``-log sum_c pi_c N(f; mu_c, S_c)`` [1].

    ``pi_c`` is the class's share of the training rows. Full covariances of their own, with ``ridge`` times the mean
    within-class variance on the diagonal; or one that all classes share. Float64.

    Parameters
    ----------
    covariance : "full", "tied" or None
        By default full where ``C D^2`` is at most 2^24 numbers, else tied.
    ridge : float
        Added to full covariances.

    Raises
    ------
    UserError
        ``covariance`` is something else. By ``fit``, where a class has no rows.

    Examples
    --------
    >>> train = Outputs(logits=torch.zeros(4, 2), labels=torch.tensor([0, 0, 1, 1]),
    ...     features=torch.tensor([[-1.0], [1.0], [98.0], [102.0]]))
    >>> gmm = GMM(ridge=0.0)
    >>> gmm.score(Outputs(features=torch.tensor([[0.0], [100.0], [50.0]])), gmm.fit(FitData.of(train)))
    tensor([  1.6121,   2.3052, 314.8052], dtype=torch.float64)

    References
    ----------
    [1] Mukhoti, Kirsch, van Amersfoort, Torr, Gal. Deep Deterministic Uncertainty: A New Simple Baseline. CVPR 2023.
    """

    covariance: Literal["full", "tied"] | None = None
    ridge: float = 1e-3

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"covariance": (None, "tied")}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"ridge": (0, 1e6)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.covariance not in ("full", "tied", None):
            raise UserError(f"Expected covariance as 'full', 'tied' or None, but got {self.covariance!r}. Choose one.")

    def clipped(self, data: FitData) -> Self:
        few = data.classes * data.dim**2 <= _CELLS
        return replace(self, covariance=self.covariance or ("full" if few else "tied"))

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(), *([_ClassProducts()] if self.covariance == "full" else []))

    def fit(self, data: FitData) -> State:
        tied = self.clipped(data).covariance == "tied"
        whiteners = [data.moments.within_whitener] if tied else self._whiteners(data)
        return _mixture(data.moments, whiteners)

    def _whiteners(self, data: FitData) -> list[Tensor]:
        """Whiteners of the classes' own covariances."""
        moments = data.moments
        means, products = moments.class_means, data.fold(_ClassProducts())
        floor = torch.eye(data.dim, dtype=means.dtype, device=means.device)
        floor *= self.ridge * moments.within.diagonal().mean()
        own = (one / n - torch.outer(m, m) for one, n, m in zip(products, moments.counts, means, strict=True))
        return [whitener(covariance + floor) for covariance in own]

    def score(self, out: Outputs, state: State) -> Tensor:
        whiteners, means, logs = (state[name] for name in ("whiteners", "means", "logs"))

        def surprise(features: Tensor) -> Tensor:
            rows = features.double()
            every = [rows @ one for one in whiteners]
            whitened = every * len(means) if len(every) == 1 else every
            distances = [(one - mean).square().sum(1) for one, mean in zip(whitened, means, strict=True)]
            return -torch.logsumexp(logs - torch.stack(distances, dim=1) / 2, dim=1)

        return in_pieces(surprise, (1 + len(whiteners)) * whiteners.shape[1] + len(means), out.features)


def _mixture(moments: MomentSums, whiteners: list[Tensor]) -> State:
    """Whiteners, whitened class means, and the log of weight and height of each component."""
    each = whiteners * len(moments.counts) if len(whiteners) == 1 else whiteners
    width = max(one.shape[1] for one in whiteners)
    means = [_widened((mean @ one)[None], width)[0] for mean, one in zip(moments.class_means, each, strict=True)]
    weights = (moments.counts / moments.n).log()
    heights = {id(one): _log_height(one) for one in whiteners}
    logs = torch.stack([weight + heights[id(one)] for weight, one in zip(weights, each, strict=True)])
    wide = torch.stack([_widened(one, width) for one in whiteners])
    return {"whiteners": wide, "means": torch.stack(means), "logs": logs}


def _log_height(one: Tensor) -> Tensor:
    """Log of a Gaussian's density at its mean, in the space that its whitener keeps."""
    height: Tensor = torch.linalg.slogdet(one.T @ one).logabsdet / 2 - one.shape[1] * math.log(2 * math.pi) / 2
    return height


def _widened(rows: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1])).contiguous()


@dataclass(frozen=True)
class _ClassProducts(Fold[Tensor, Tensor]):
    """Sums of ``f f^T`` of the training rows of each class, [C, D, D], in float64.

    Examples
    --------
    >>> out = Outputs(logits=torch.zeros(2, 2), features=torch.tensor([[1.0], [3.0]]), labels=torch.tensor([0, 1]))
    >>> fold = _ClassProducts()
    >>> fold.finish(fold.update(fold.start(out), out, first=0)).flatten()
    tensor([1., 9.], dtype=torch.float64)
    """

    reads: ClassVar[tuple[str, ...] | None] = ("logits", "features", "labels")

    def start(self, like: Outputs) -> Tensor:
        dim = like.features.shape[1]
        return torch.zeros(like.logits.shape[1], dim, dim, dtype=torch.float64, device=like.features.device)

    def update(self, total: Tensor, chunk: Outputs, first: int) -> Tensor:
        for number in chunk.labels.unique().tolist():
            rows = chunk.features[chunk.labels == number].double()
            total[number].addmm_(rows.T, rows)
        return total

    def merge(self, total: Tensor, other: Tensor) -> Tensor:
        return total + other

    def finish(self, total: Tensor) -> Tensor:
        return total

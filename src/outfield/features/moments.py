"""Moments of the features in one streamed pass: what the Mahalanobis family, ViM, NECO, SHE and others share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.folds import Fold
from outfield.types import Outputs


def unit(features: Tensor) -> Tensor:
    """Rows scaled to length one, ``f / max(|f|, 1e-12)``."""
    return torch.nn.functional.normalize(features, dim=1, eps=1e-12)


def whitener(covariance: Tensor, rtol: float = 1e-12) -> Tensor:
    """L [D, r] with ``L L^T`` the pseudo-inverse of a covariance, so that Mahalanobis is Euclid after ``f L``.

    Directions with less than ``rtol`` times the largest variance are left out.

    Examples
    --------
    >>> whitener(torch.diag(torch.tensor([0.0, 4.0], dtype=torch.float64)))
    tensor([[0.0000],
            [0.5000]], dtype=torch.float64)
    """
    values, vectors = spectrum(covariance)
    kept = values > rtol * values[-1]
    return vectors[:, kept] * values[kept].rsqrt()


def leading(spectrum: tuple[Tensor, Tensor], share: float, q: int | None = None) -> Tensor:
    """The fewest leading eigenvectors that explain at least ``share`` of the variance, or the first q, [D, q].

    Examples
    --------
    >>> leading(spectrum(torch.diag(torch.tensor([1.0, 8.0, 1.0], dtype=torch.float64))), 0.75).abs()
    tensor([[0.],
            [1.],
            [0.]], dtype=torch.float64)
    """
    values, vectors = spectrum
    explained = values.flip(0).clamp(min=0).cumsum(0)
    enough = int((explained < share * explained[-1]).sum()) + 1
    return vectors.flip(1)[:, : q or enough].contiguous()


def spectrum(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [D], smallest first, and eigenvectors in columns [D, D]."""
    values, vectors = torch.linalg.eigh(covariance)
    return values, vectors


@dataclass(frozen=True, eq=False)
class MomentSums:
    """Counts and sums of a stream, in float64: they add up over shards."""

    counts: Tensor
    sums: Tensor
    products: Tensor

    @property
    def n(self) -> float:
        """Number of rows N."""
        return float(self.counts.sum())

    @cached_property
    def mean(self) -> Tensor:
        """Global mean, [D]."""
        return self.sums.sum(0) / self.n

    @cached_property
    def class_means(self) -> Tensor:
        """Mean of each class, [C, D].

        Raises
        ------
        UserError
            A class has no rows.
        """
        if absent := torch.nonzero(self.counts == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class, but class {', '.join(map(str, absent))} has none. "
                "Fit on training data that holds each class that the head knows."
            )
        return self.sums / self.counts[:, None]

    @cached_property
    def covariance(self) -> Tensor:
        """Total covariance about the global mean, divided by N, [D, D]."""
        return self.second - torch.outer(self.mean, self.mean)

    @cached_property
    def total_spectrum(self) -> tuple[Tensor, Tensor]:
        """``spectrum(self.covariance)``, which several settings share."""
        return spectrum(self.covariance)

    @cached_property
    def within(self) -> Tensor:
        """Tied covariance about the class means, divided by N, [D, D]."""
        means = self.class_means
        return self.second - (means * (self.counts / self.n)[:, None]).T @ means

    @cached_property
    def within_whitener(self) -> Tensor:
        """``whitener(self.within)``, which several detectors share, [D, r]."""
        return whitener(self.within)

    @property
    def second(self) -> Tensor:
        """Mean outer product ``E[f f^T]``, not centred, [D, D]."""
        return self.products / self.n

    def about(self, origin: Tensor) -> Tensor:
        """Second moment about a given origin, ``E[(f - o)(f - o)^T]``, [D, D]."""
        away = self.mean - origin
        return self.covariance + torch.outer(away, away)


@dataclass(frozen=True)
class Moments(Fold[MomentSums, MomentSums]):
    """Counts per class, class sums and the total second moment of the features.

    Parameters
    ----------
    on_sphere : bool
        Take the features scaled to unit length instead.

    Examples
    --------
    >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> out = Outputs(logits=torch.zeros(2, 2), features=features, labels=torch.tensor([0, 1]))
    >>> fold = Moments()
    >>> fold.finish(fold.update(fold.start(out), out, first=0)).mean
    tensor([1., 0.], dtype=torch.float64)
    """

    on_sphere: bool = False

    def start(self, like: Outputs) -> MomentSums:
        dim, classes = like.features.shape[1], _classes(like)
        zeros = partial(torch.zeros, dtype=torch.float64, device=like.features.device)
        return MomentSums(zeros(classes), zeros(classes, dim), zeros(dim, dim))

    def update(self, total: MomentSums, chunk: Outputs, first: int) -> MomentSums:
        rows = (unit(chunk.features) if self.on_sphere else chunk.features).double()
        total.counts.add_(torch.bincount(chunk.labels, minlength=len(total.counts)))
        total.sums.index_add_(0, chunk.labels, rows)
        total.products.addmm_(rows.T, rows)
        return total

    def merge(self, total: MomentSums, other: MomentSums) -> MomentSums:
        return MomentSums(total.counts + other.counts, total.sums + other.sums, total.products + other.products)

    def finish(self, total: MomentSums) -> MomentSums:
        return total


def _classes(like: Outputs) -> int:
    return len(like.head.weight) if like.has("head") else like.logits.shape[1]

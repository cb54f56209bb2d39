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
    """Rows scaled to length one, ``f / max(|f|, 1e-12)``.

    Examples
    --------
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return torch.nn.functional.normalize(features, dim=1, eps=1e-12)


def whitener(covariance: Tensor, rtol: float = 1e-12) -> Tensor:
    """L [D, r] with ``L L^T`` the pseudo-inverse of a covariance, so that Mahalanobis is Euclid after ``f L``.

    Directions with less than ``rtol`` times the largest variance are left out. A covariance far from singular needs no
    eigenvectors: L is then the inverse of its Cholesky factor.

    Examples
    --------
    >>> whitener(torch.diag(torch.tensor([0.0, 4.0], dtype=torch.float64)))
    tensor([[0.0000],
            [0.5000]], dtype=torch.float64)
    """
    if (inverse := _inverse_factor(covariance, 0.1 / rtol)) is not None:
        return inverse.T.contiguous()
    values, vectors = spectrum(covariance)
    kept = values > rtol * values[-1]
    return vectors[:, kept] * values[kept].rsqrt()


def _inverse_factor(covariance: Tensor, condition: float) -> Tensor | None:
    """``R^-1`` of ``S = R R^T``; None where S may be worse conditioned than that: ``tr S tr S^-1`` is no less."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        return None
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False, out=identity)
    return inverse if covariance.trace() * inverse.square().sum() < condition else None


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
    return vectors[:, -(q or enough) :].flip(1).contiguous()


def spectrum(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [D], smallest first, and eigenvectors in columns [D, D].

    Examples
    --------
    >>> spectrum(torch.diag(torch.tensor([4.0, 1.0])))[0]
    tensor([1., 4.])
    """
    values, vectors = torch.linalg.eigh(covariance)
    return values, vectors


def add_products(total: Tensor, rows: Tensor) -> None:
    """Add ``rows^T rows`` [D, D] to ``total``: blocks on and above the diagonal alone, which is half the work.

    Examples
    --------
    >>> total = torch.zeros(2, 2)
    >>> add_products(total, torch.tensor([[1.0, 2.0]]))
    >>> symmetric(total)
    tensor([[1., 2.],
            [2., 4.]])
    """
    for start in range(0, rows.shape[1], _BLOCK):
        columns = slice(start, start + _BLOCK)
        total[columns, start:].addmm_(rows[:, columns].T, rows[:, start:])


def symmetric(upper: Tensor) -> Tensor:
    """The symmetric matrix whose part on and above the diagonal is given; ``upper`` is overwritten.

    Examples
    --------
    >>> symmetric(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    tensor([[1., 2.],
            [2., 3.]])
    """
    upper.triu_()
    return upper.add_(upper.triu(1).T)


_BLOCK = 256
"""Columns of a block of products."""
_ROWS = 2048
"""Rows that are widened to float64 at a time."""


@dataclass(frozen=True, eq=False)
class MomentSums:
    """Counts and sums of a stream, in float64: they add up over shards.

    Examples
    --------
    >>> from outfield.features.fit_data import FitData
    >>> features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]])
    >>> sums = FitData.of(Outputs(logits=torch.zeros(3, 2), features=features, labels=torch.tensor([0, 0, 1]))).moments
    >>> sums.class_means.tolist(), sums.within.round(decimals=2).tolist()
    ([[1.0, 0.0], [1.0, 3.0]], [[0.67, 0.0], [0.0, 0.0]])
    """

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
            A class has no rows, or there are no classes.
        """
        if len(self.counts) == 1:
            raise UserError("Expected fit rows of several classes, but there is one kind. Choose another detector.")
        if absent := torch.nonzero(self.counts == 0).flatten().tolist():
            raise UserError(
                f"Expected fit rows of every class, but class {', '.join(map(str, absent))} has none. "
                "Fit on training data that holds each class that the head knows."
            )
        return self.sums / self.counts[:, None]

    @property
    def covariance(self) -> Tensor:
        """Total covariance about the global mean, divided by N, [D, D]."""
        return self.second.addr_(self.mean, self.mean, alpha=-1)

    @cached_property
    def total_spectrum(self) -> tuple[Tensor, Tensor]:
        """``spectrum(self.covariance)``, which several settings share."""
        return spectrum(self.covariance)

    @property
    def within(self) -> Tensor:
        """Tied covariance about the class means, divided by N, [D, D]."""
        means = self.class_means
        return self.second.addmm_((means * (self.counts / self.n)[:, None]).T, means, alpha=-1)

    @cached_property
    def within_whitener(self) -> Tensor:
        """``whitener(self.within)``, which several detectors share, [D, r]."""
        return whitener(self.within)

    @cached_property
    def whitened_means(self) -> Tensor:
        """Class means after ``within_whitener``, [C, r]."""
        return self.class_means @ self.within_whitener

    @cached_property
    def total_whitener(self) -> Tensor:
        """``whitener(self.covariance)``, [D, r]."""
        return whitener(self.covariance)

    @property
    def second(self) -> Tensor:
        """Mean outer product ``E[f f^T]``, not centred, [D, D]."""
        return self.products / self.n

    def about(self, origin: Tensor) -> Tensor:
        """Second moment about a given origin, ``E[(f - o)(f - o)^T]``, [D, D].

        Examples
        --------
        >>> from outfield.features.fit_data import FitData
        >>> sums = FitData.of(Outputs(features=torch.tensor([[1.0], [3.0]]))).moments
        >>> sums.covariance.item(), sums.about(torch.zeros(1)).item()
        (1.0, 5.0)
        """
        away = self.mean - origin
        return self.covariance.addr_(away, away)


@dataclass(frozen=True)
class Moments(Fold[MomentSums, MomentSums]):
    """Counts per class, class sums and the total second moment of the features.

    Rows of a model that is no classifier count as one class.

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
        numbers = _class_numbers(chunk)
        total.counts.add_(torch.bincount(numbers, minlength=len(total.counts)))
        for features, labels in zip(chunk.features.split(_ROWS), numbers.split(_ROWS), strict=True):
            rows = (unit(features) if self.on_sphere else features).double()
            total.sums.index_add_(0, labels, rows)
            add_products(total.products, rows)
        return total

    def merge(self, total: MomentSums, other: MomentSums) -> MomentSums:
        return MomentSums(total.counts + other.counts, total.sums + other.sums, total.products + other.products)

    def finish(self, total: MomentSums) -> MomentSums:
        return MomentSums(total.counts, total.sums, symmetric(total.products))


def _classes(like: Outputs) -> int:
    if _classless(like):
        return 1
    return len(like.head.weight) if like.has("head") else like.logits.shape[1]


def _class_numbers(chunk: Outputs) -> Tensor:
    return torch.zeros_like(chunk.features[:, 0], dtype=torch.int64) if _classless(chunk) else chunk.labels


def _classless(out: Outputs) -> bool:
    """Whether a model that is no classifier made them: all rows are then of one kind."""
    return not out.has("logits") and (out.has("predictions") or not out.has("labels"))

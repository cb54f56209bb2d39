"""What an OOD detector looks at, as a few directions in the features (Choi et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.metrics.auroc import Auroc
from outfield.types import Head, Outputs, State

MOST = 10
"""Concepts up to which Shapley values are worked out: every subset is measured."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A fitted detector of features, with the head that turns these into logits."""

    detector: Detector
    state: State
    head: Head

    def score(self, features: Tensor) -> Tensor:
        """Scores [n] of features [n, D], higher further out."""
        out = Outputs(logits=self.head(features), features=features, head=self.head)
        return self.detector.score(out, self.state)

    def auroc(self, known: Tensor, unknown: Tensor) -> float:
        with torch.no_grad():
            return Auroc()(self.score(known).double().numpy(), self.score(unknown).double().numpy()).value


@dataclass(frozen=True, eq=False)
class Concepts:
    """Directions in the features, and the centre from which they are seen.

    Parameters
    ----------
    vectors : Tensor, shape [m, D]
    centre : Tensor, shape [D]
    """

    vectors: Tensor
    centre: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """How much of each concept there is, [n, m]."""
        return (features - self.centre) @ nn.functional.normalize(self.vectors, dim=1).T

    def reconstruct(self, features: Tensor, keep: tuple[int, ...] | None = None) -> Tensor:
        """The features as far as the concepts, or some of them, give them: projected on their span.

        Examples
        --------
        >>> Concepts(torch.tensor([[2.0, 0.0]]), torch.zeros(2)).reconstruct(torch.tensor([[3.0, 4.0]]))
        tensor([[3., 0.]])
        """
        vectors = self.vectors if keep is None else self.vectors[list(keep)]
        if not len(vectors):
            return self.centre.expand_as(features)
        basis = torch.linalg.qr(vectors.T).Q
        seen: Tensor = self.centre + (features - self.centre) @ basis @ basis.T
        return seen


def completeness(concepts: Concepts, watched: Watched, known: Tensor, unknown: Tensor) -> float:
    r"""Share of the detection that concepts keep: :math:`(AUROC(\hat\phi) - 1/2) / (AUROC(\phi) - 1/2)`.

    Parameters
    ----------
    known, unknown : Tensor, shapes [n, D] and [m, D]
        Features of ID and OOD inputs.

    Raises
    ------
    UserError
        The detector tells nothing apart.
    """
    return _kept(concepts, watched, known, unknown, None)


def _kept(concepts: Concepts, watched: Watched, known: Tensor, unknown: Tensor, keep: tuple[int, ...] | None) -> float:
    whole = watched.auroc(known, unknown) - 0.5
    if whole <= 0:
        raise UserError(
            f"Expected a detector whose AUROC is above .5, but got {whole + 0.5:.3f}. There is nothing to explain."
        )
    some = watched.auroc(concepts.reconstruct(known, keep), concepts.reconstruct(unknown, keep)) - 0.5
    return some / whole


def separability(concepts: Concepts, known: Tensor, unknown: Tensor) -> float:
    r"""Scatter between ID and OOD over that within them, in the space of the concepts: :math:`tr(S_w^{-1} S_b)`."""
    return float(_scatter_ratio(concepts.scores(known), concepts.scores(unknown)))


def _scatter_ratio(known: Tensor, unknown: Tensor) -> Tensor:
    apart = known.mean(dim=0) - unknown.mean(dim=0)
    share = len(known) / (len(known) + len(unknown))
    within = share * torch.cov(known.T, correction=0) + (1 - share) * torch.cov(unknown.T, correction=0)
    within = within.reshape(len(apart), -1) + 1e-6 * torch.eye(len(apart), dtype=known.dtype)
    ratio: Tensor = share * (1 - share) * apart @ torch.linalg.solve(within, apart)
    return ratio


def learn(
    watched: Watched,
    known: Tensor,
    unknown: Tensor,
    count: int,
    *,
    detection: float = 1.0,
    separation: float = 0.1,
    steps: int = 200,
    seed: int = 0,
) -> Concepts:
    """Learn concepts: the head's decisions on what they give of the features stay, and so does the detector's score.

    Parameters
    ----------
    watched : Watched
    known, unknown : Tensor, shapes [n, D] and [m, D]
        Features of ID inputs, and of OOD inputs that are not those to be explained later.
    count : int
        How many concepts.
    detection, separation : float
        Weights of the detector's scores and of the separation of ID and OOD; with both 0 the concepts are those of the
        classifier alone.
    steps, seed : int

    Raises
    ------
    UserError
        More concepts than features, or none.
    """
    if not 0 < count <= known.shape[1]:
        raise UserError(f"Expected from 1 to {known.shape[1]} concepts, one a feature, but got {count}. Ask for fewer.")
    centre = known.mean(dim=0)
    start = torch.randn(count, known.shape[1], generator=torch.Generator().manual_seed(seed), dtype=known.dtype)
    both = torch.cat([known, unknown])
    with torch.inference_mode(mode=False), torch.enable_grad():
        both, vectors = both.clone(), start.clone().requires_grad_()
        said, wanted = watched.head(both[: len(known)]).argmax(dim=1), watched.score(both).detach()
        optimizer = torch.optim.Adam([vectors], lr=0.05)
        for _ in range(steps):
            concepts = Concepts(vectors, centre)
            again = concepts.reconstruct(both)
            loss = nn.functional.cross_entropy(watched.head(again[: len(known)]), said)
            if detection:
                loss = loss + detection * (watched.score(again) - wanted).square().mean() / wanted.var()
            if separation:
                seen = concepts.scores(both)
                loss = loss - separation * torch.log(_scatter_ratio(seen[: len(known)], seen[len(known) :]) + 1e-6)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Concepts(vectors.detach(), centre)


def shapley(concepts: Concepts, watched: Watched, known: Tensor, unknown: Tensor) -> NDArray[np.float64]:
    """What each concept adds to the completeness, averaged over all orders; the values add up to the completeness.

    Raises
    ------
    UserError
        More than ten concepts: every subset of them is measured.
    """
    m = len(concepts.vectors)
    if m > MOST:
        raise UserError(f"Expected at most {MOST} concepts, for every subset is measured, but got {m}. Learn fewer.")
    subsets = [some for size in range(m + 1) for some in combinations(range(m), size)]
    worth = {some: _kept(concepts, watched, known, unknown, some) for some in subsets}
    found = np.zeros(m)
    for some, value in worth.items():
        for one in set(range(m)) - set(some):
            weight = factorial(len(some)) * factorial(m - len(some) - 1) / factorial(m)
            found[one] += weight * (worth[tuple(sorted({*some, one}))] - value)
    return found


@dataclass(frozen=True, eq=False)
class Explanation:
    """Concepts of a detector with what they say of it."""

    concepts: Concepts
    completeness: float
    separability: float
    shapley: NDArray[np.float64]

    def frame(self) -> pl.DataFrame:
        """A row a concept, the most important first."""
        table = pl.DataFrame({"concept": range(len(self.shapley)), "shapley": self.shapley})
        return table.sort("shapley", descending=True)

    def sentences(self) -> tuple[str, ...]:
        """What it means: how much of the detection the concepts hold, and which one most."""
        first = self.frame().row(0, named=True)
        return (
            f"{len(self.shapley)} directions in the features hold {self.completeness:.0%} of what the detector sees.",
            f"Most of it, {first['shapley']:.0%}, is concept {first['concept']}.",
        )


def explain(
    watched: Watched, known: Tensor, unknown: Tensor, count: int = 5, *, detection: float = 1.0, separation: float = 0.1
) -> Explanation:
    """Concepts of a detector, learned on every second item and measured on the others.

    Parameters
    ----------
    watched : Watched
    known, unknown : Tensor, shapes [n, D] and [m, D]
        Features of ID and OOD inputs.
    count : int
        How many concepts, at most ten.

    Examples
    --------
    >>> from outfield.registry import create
    >>> rows = torch.Generator().manual_seed(0)
    >>> known, unknown = torch.randn(80, 3, generator=rows), torch.randn(80, 3, generator=rows)
    >>> known[:, 0] += 4
    >>> watched = Watched(create("detectors", "energy"), {}, Head(torch.eye(3)[:2], torch.zeros(2)))
    >>> found = explain(watched, known, unknown, count=3)
    >>> round(found.completeness, 6), bool(abs(found.shapley.sum() - 1) < 1e-6)
    (1.0, True)
    """
    concepts = learn(watched, known[::2], unknown[::2], count, detection=detection, separation=separation)
    seen = known[1::2], unknown[1::2]
    return Explanation(
        concepts,
        completeness(concepts, watched, *seen),
        separability(concepts, *seen),
        shapley(concepts, watched, *seen),
    )

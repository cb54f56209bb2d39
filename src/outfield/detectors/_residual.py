"""The space that the features leave almost empty: what ViM and Residual share."""

from __future__ import annotations

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.features.moments import spectrum
from outfield.types import State


def principal_dim(d: int | None, dim: int) -> int:
    """Size of the principal space: as asked, or the paper's rule for the number of features.

    Examples
    --------
    >>> [principal_dim(None, dim) for dim in (2048, 768, 512)], principal_dim(90, 64)
    ([1000, 512, 256], 63)
    """
    rule = 1000 if dim >= 1500 else 512 if dim >= 768 else dim // 2
    return min(rule if d is None else d, dim - 1)


def settled_dim(d: int | None, data: FitData) -> int:
    """Size of the principal space for these features: where they span no more than it, by their rank instead of D.

    Raises
    ------
    UserError
        The features span fewer than two dimensions about the origin of the head.
    """
    asked = principal_dim(d, data.dim)
    rank = _rank(_about_origin(data)[1])
    if rank > asked:
        return asked
    if rank < 2:
        raise UserError(
            f"Expected training features that span two dimensions or more about the origin of the head, but they span "
            f"{rank}. Leave out ViM and Residual: a principal space and a rest need two."
        )
    return principal_dim(d, rank)


def empty_space(data: FitData, d: int | None) -> State:
    """The origin ``-W^+ b`` [D] and the eigenvectors [D, D - d] of the smallest variances about it."""
    if d is not None and d >= data.dim:
        raise UserError(
            f"Expected a principal space smaller than the {data.dim} features, but got d = {d}. "
            f"Choose d below {data.dim}, or None for the paper's rule."
        )
    origin, _, vectors = _about_origin(data)
    size = data.dim - settled_dim(d, data)
    return {"origin": origin, "null_space": data.once(("null space", size), vectors[:, :size].contiguous)}


def _about_origin(data: FitData) -> tuple[Tensor, Tensor, Tensor]:
    """The origin, and eigenvalues and eigenvectors of the second moment about it.

    Singular values of W below 1e-6 times the largest are rounding of float32 weights and count as zero.
    """

    def made() -> tuple[Tensor, Tensor, Tensor]:
        head = data.head.to(dtype=torch.float64)
        origin = -torch.linalg.pinv(head.weight, rtol=1e-6) @ head.bias
        return (origin, *spectrum(data.moments.about(origin)))

    return data.once("spectrum about the origin", made)


def _rank(values: Tensor) -> int:
    """How many leading eigenvalues leave less than 1e-10 of their sum, beyond which lies rounding of float32 features.

    Examples
    --------
    >>> _rank(torch.tensor([1e-15, 0.1, 2.0], dtype=torch.float64))
    2
    """
    left = values.clamp(min=0).cumsum(0)
    return int((left > 1e-10 * left[-1]).sum())


def narrow(space: State, data: FitData) -> State:
    """The space in the precision of the features, which is enough for the mean residual; in float64 where it is tiny.

    The mean square of the residual, known from the moments, is tiny below 1e-4 of that of the features.
    """
    values = _about_origin(data)[1].clamp(min=0)
    precise = values[: space["null_space"].shape[1]].sum() < 1e-4 * values.sum()
    return space if precise else {name: value.to(data.first.features.dtype) for name, value in space.items()}


def norms(features: Tensor, origin: Tensor, null_space: Tensor) -> Tensor:
    """``|(f - u) N|``, [n], in the precision of N: float64 in a state."""
    lengths: Tensor = torch.linalg.vector_norm((features.to(null_space.dtype) - origin) @ null_space, dim=1)
    return lengths

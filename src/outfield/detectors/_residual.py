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


def empty_space(data: FitData, d: int | None) -> State:
    """The origin ``-W^+ b`` [D] and the eigenvectors [D, D - d] of the smallest variances about it.

    Singular values of W below 1e-6 times the largest are rounding of float32 weights and count as zero.
    """
    head = data.head.to(dtype=torch.float64)
    origin = (-torch.linalg.pinv(head.weight, rtol=1e-6) @ head.bias).to(data.moments.mean.device)
    _, vectors = data.once("spectrum about the origin", lambda: spectrum(data.moments.about(origin)))
    return {"origin": origin, "null_space": vectors[:, : data.dim - _within(d, data.dim)].contiguous()}


def norms(features: Tensor, origin: Tensor, null_space: Tensor) -> Tensor:
    """``|(f - u) N|``, [n], in float64."""
    return ((features.double() - origin) @ null_space).square().sum(1).sqrt()


def _within(d: int | None, dim: int) -> int:
    if d is not None and d >= dim:
        raise UserError(
            f"Expected a principal space smaller than the {dim} features, but got d = {d}. "
            f"Choose d below {dim}, or None for the paper's rule."
        )
    return principal_dim(d, dim)

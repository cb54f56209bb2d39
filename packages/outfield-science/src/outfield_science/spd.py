"""Symmetric positive definite matrices as points of a curved space: the affine-invariant metric of Pennec et al. [1].

[1] Pennec, Fillard, Ayache. A Riemannian Framework for Tensor Computing. International Journal of Computer Vision 2006.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from outfield.errors import UserError


def covariance(rows: Tensor, ridge: float) -> Tensor:
    """Covariance [..., P, P] of observations [..., T, P], with ``ridge`` on its diagonal: positive definite for any T.

    Examples
    --------
    >>> covariance(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), ridge=0.5)
    tensor([[2.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    centred = rows - rows.mean(-2, keepdim=True)
    scatter = centred.mT @ centred / max(1, rows.shape[-2] - 1)
    return scatter + ridge * torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)


def matrices(x: Tensor, ridge: float) -> Tensor:
    """Inputs as matrices [n, P, P] in float64: covariances of spectra [n, 1, T, P]; rows [n, P * P] as they are.

    Raises
    ------
    UserError
        Inputs of another shape; rows that are no symmetric positive definite matrices.
    """
    if x.ndim == 4 and x.shape[1] == 1:
        return covariance(x[:, 0].double(), ridge)
    side = round(x.shape[1] ** 0.5)
    if x.ndim != 2 or side * side != x.shape[1]:
        raise UserError(
            f"Expected spectra [n, 1, T, P] or matrices as rows [n, P * P], but got {list(x.shape)}. "
            "Choose a detector that reads such inputs, or the representation `spectrum`."
        )
    found = x.double().reshape(len(x), side, side)
    if not torch.allclose(found, found.mT) or bool((torch.linalg.eigvalsh(found) <= 0).any()):
        raise UserError(
            f"Expected symmetric positive definite matrices of side {side}, but some rows are none. "
            "Add a ridge to their diagonals."
        )
    return found


def _on_spectrum(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of symmetric matrices, by their eigenvalues."""
    values, vectors = torch.linalg.eigh(x)
    changed: Tensor = vectors * function(values).unsqueeze(-2) @ vectors.mT
    return changed


def _whitened_log(mean: Tensor, x: Tensor) -> Tensor:
    whitener = _on_spectrum(mean, lambda values: values.rsqrt())
    return _on_spectrum(whitener @ x @ whitener, torch.log)


def log_map(mean: Tensor, x: Tensor) -> Tensor:
    """The tangent vector at ``mean`` that leads to ``x``: ``M^1/2 log(M^-1/2 X M^-1/2) M^1/2``.

    Examples
    --------
    >>> log_map(2 * torch.eye(1), 2 * torch.e * torch.eye(1)).round(decimals=4)
    tensor([[2.]])
    """
    root = _on_spectrum(mean, torch.sqrt)
    return root @ _whitened_log(mean, x) @ root


def exp_map(mean: Tensor, tangent: Tensor) -> Tensor:
    """Where a tangent vector at ``mean`` leads: the inverse of ``log_map``."""
    root, whitener = _on_spectrum(mean, torch.sqrt), _on_spectrum(mean, lambda values: values.rsqrt())
    return root @ _on_spectrum(whitener @ tangent @ whitener, torch.exp) @ root


def frechet_mean(x: Tensor, steps: int = 50, tolerance: float = 1e-8) -> Tensor:
    """The point of least summed squared distance to matrices [n, P, P], by steps along their mean tangent vector.

    Examples
    --------
    >>> frechet_mean(torch.tensor([[[1.0]], [[9.0]]], dtype=torch.float64)).round(decimals=6)  # the geometric mean
    tensor([[3.]], dtype=torch.float64)
    """
    mean = x.mean(0)
    for _ in range(steps):
        step = log_map(mean, x).mean(0)
        mean = exp_map(mean, step)
        if step.norm() <= tolerance * mean.norm():
            break
    return mean


def tangent(mean: Tensor, x: Tensor) -> Tensor:
    """Coordinates [n, P (P + 1) / 2] of matrices in the tangent space at ``mean``: their norm is the distance to it.

    Examples
    --------
    >>> tangent(torch.eye(1), torch.e ** 2 * torch.eye(1)[None]).round(decimals=4)
    tensor([[2.]])
    """
    return upper(_whitened_log(mean, x))


def upper(x: Tensor) -> Tensor:
    """The upper triangle of symmetric matrices, off the diagonal times the root of two: the norm stays."""
    row, column = torch.triu_indices(x.shape[-1], x.shape[-1], device=x.device)
    weight = torch.where(row == column, 1.0, 2**0.5).to(x.dtype)
    return x[..., row, column] * weight

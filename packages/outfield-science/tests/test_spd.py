"""The affine-invariant geometry against closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor

from outfield.errors import UserError
from outfield_science import spd


def drawn(n: int, side: int = 5, seed: int = 0) -> Tensor:
    rows = torch.randn(n, 3 * side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return spd.covariance(rows * torch.linspace(0.5, 2, side, dtype=torch.float64), ridge=1e-3)


def test_the_log_map_is_the_closed_form_of_the_affine_invariant_metric() -> None:
    mean, *others = drawn(5)
    root = linalg.sqrtm(mean.numpy())
    for x in others:
        inner = linalg.logm(linalg.inv(root) @ x.numpy() @ linalg.inv(root))
        np.testing.assert_allclose(spd.log_map(mean, x), root @ inner @ root, atol=1e-10)


def test_the_log_map_of_matrices_that_commute_is_that_of_their_eigenvalues() -> None:
    mean, x = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([2.0, 4.0, 3.0]).double()
    assert torch.allclose(spd.log_map(mean.diag(), x.diag()), (mean * (x / mean).log()).diag())


def test_the_exponential_map_leads_back() -> None:
    mean, x = drawn(2)
    assert torch.allclose(spd.exp_map(mean, spd.log_map(mean, x)), x)


def test_the_norm_of_tangent_coordinates_is_the_distance_which_no_change_of_coordinates_alters() -> None:
    mean, x = drawn(2)
    distance = np.sqrt((np.log(linalg.eigvalsh(x.numpy(), mean.numpy())) ** 2).sum())
    assert float(spd.tangent(mean, x[None]).norm()) == pytest.approx(distance)
    change = torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = spd.tangent(change @ mean @ change.T, (change @ x @ change.T)[None])
    assert float(moved.norm()) == pytest.approx(distance)


def test_the_mean_is_where_tangent_vectors_cancel() -> None:
    x = drawn(30)
    mean = spd.frechet_mean(x)
    assert float(spd.log_map(mean, x).mean(0).norm()) < 1e-6
    change = torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(spd.frechet_mean(change @ x @ change.T), change @ mean @ change.T)


def test_the_mean_of_matrices_that_commute_is_the_geometric_one() -> None:
    values = torch.rand(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    assert torch.allclose(spd.frechet_mean(torch.diag_embed(values)), values.log().mean(0).exp().diag())


def test_rows_that_are_no_matrices_are_refused() -> None:
    with pytest.raises(UserError, match=r"matrices as rows \[n, P \* P\], but got \[3, 5\]"):
        spd.matrices(torch.ones(3, 5), 1e-3)
    with pytest.raises(UserError, match="positive definite matrices of side 2, but some rows are none"):
        spd.matrices(torch.tensor([[1.0, 2.0, 2.0, 1.0]]), 1e-3)

"""The mixture of Gaussians against scipy's densities."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from outfield.detectors.gmm import GMM
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD, C, D


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_formula(covariance: Literal["full", "tied"]) -> None:
    f, y = WORLD.train.f, WORLD.train.y
    means, shares = np.array([f[y == c].mean(0) for c in range(C)]), np.bincount(y) / len(y)
    tied = np.cov((f - means[y]).T, bias=True)
    full = [np.cov(f[y == c].T, bias=True) + 1e-3 * np.diag(tied).mean() * np.eye(D) for c in range(C)]
    each = full if covariance == "full" else [tied] * C
    logs = [multivariate_normal(m, s).logpdf(WORLD.test.f) for m, s in zip(means, each, strict=True)]
    detector = GMM(covariance=covariance)
    ours = detector.score(WORLD.test.out, detector.fit(FitData.of(WORLD.train.out, chunk=70)))
    np.testing.assert_allclose(ours, -logsumexp(np.array(logs).T + np.log(shares), axis=1), rtol=1e-6)


def test_one_covariance_serves_where_many_would_be_too_large() -> None:
    few, many = (
        FitData.of(Outputs(logits=torch.zeros(2, classes), features=torch.zeros(2, 2048))) for classes in (2, 1000)
    )
    assert (GMM().clipped(few).covariance, GMM().clipped(many).covariance) == ("full", "tied")
    with pytest.raises(UserError, match="'full', 'tied' or None, but got 'round'"):
        GMM(covariance="round")  # type: ignore[arg-type]  # what a study file may say

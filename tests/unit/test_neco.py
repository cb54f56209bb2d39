"""NECO on features that have collapsed, and what its share may be."""

from __future__ import annotations

import numpy as np
import torch

from outfield.detectors.neco import NECO
from outfield.features.fit_data import FitData
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD, D


def test_a_share_lies_between_nought_and_one_and_is_one_of_all_dimensions() -> None:
    data = FitData.of(WORLD.train.out)
    for d in (1, 5, D - 1):
        found = -NECO(d=d).score(WORLD.test.out, NECO(d=d).fit(data))
        assert found.min() >= 0 and found.max() <= 1 + 1e-12
    whole = NECO(d=D)
    torch.testing.assert_close(whole.score(WORLD.test.out, whole.fit(data)), -torch.ones(60).double())


def collapsed(seed: int) -> tuple[Outputs, Outputs, Outputs]:
    """Four classes at the corners of a simplex in 3 of 12 dimensions, turned at random; OOD in the other nine."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    corners = (np.eye(4) - 0.25) @ np.linalg.svd(np.eye(4) - 0.25)[2][:3].T

    def known(n: int) -> Outputs:
        y = rng.integers(4, size=n)
        f = np.hstack([9 * corners[y], np.zeros((n, 9))]) + 0.3 * rng.normal(size=(n, 12))
        return Outputs(torch.zeros(n, 4), torch.tensor(f @ turn, dtype=torch.float32), torch.tensor(y))

    far = np.hstack([0.3 * rng.normal(size=(400, 3)), 2 * rng.normal(size=(400, 9))])
    return known(600), known(400), Outputs(features=torch.tensor(far @ turn, dtype=torch.float32))


def test_ood_orthogonal_to_collapsed_classes_is_told() -> None:
    for seed in range(5):
        train, test, far = collapsed(seed)
        detector = NECO(d=3)
        state = detector.fit(FitData.of(train))
        known, unknown = (detector.score(out, state).numpy() for out in (test, far))
        assert Auroc().of(IdScores(known).against(unknown)).value >= 0.99

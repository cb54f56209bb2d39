"""ViM at its ends, and OOD that only the residual sees."""

from __future__ import annotations

import numpy as np
import torch

from outfield.detectors.base import Detector
from outfield.detectors.energy import Energy
from outfield.detectors.vim import ViM
from outfield.features.fit_data import FitData
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.types import Head, Outputs
from tests.reference.test_detectors_formulae import WORLD


def test_without_the_virtual_logit_it_is_energy() -> None:
    """By alpha = 0, and by a principal space of all dimensions, which leaves no residual."""
    state = ViM().fit(FitData.of(WORLD.train.out))
    expected = Energy().score(WORLD.test.out, {}).double()
    torch.testing.assert_close(ViM().score(WORLD.test.out, {**state, "alpha": torch.zeros(1).double()}), expected)
    whole = {**state, "null_space": state["null_space"][:, :0]}
    torch.testing.assert_close(ViM().score(WORLD.test.out, whole), expected)


def null_space_world(seed: int) -> tuple[Outputs, Outputs, Outputs]:
    """Features whose classes lie in 3 of 10 dimensions, which alone the head reads; OOD moves in the other seven."""
    rng = np.random.default_rng(seed)
    head = Head(torch.cat([4 * torch.eye(3), torch.zeros(3, 7)], dim=1), torch.zeros(3))

    def rows(n: int, aside: float) -> Outputs:
        y = rng.integers(3, size=n)
        f = np.hstack([np.eye(3)[y] + 0.2 * rng.normal(size=(n, 3)), aside * rng.normal(size=(n, 7))])
        features = torch.tensor(f, dtype=torch.float32)
        return Outputs(head(features), features, torch.tensor(y), head)

    return rows(600, 0.1), rows(400, 0.1), rows(400, 1.0)


def test_ood_in_the_null_space_is_told_by_the_residual_alone() -> None:
    def auroc(detector: Detector, seed: int) -> float:
        train, test, far = null_space_world(seed)
        state = detector.fit(FitData.of(train))
        known, unknown = (detector.score(out, state).numpy() for out in (test, far))
        return Auroc().of(IdScores(known).against(unknown)).value

    for seed in range(5):
        assert auroc(ViM(d=3), seed) >= 0.99
        assert auroc(Energy(), seed) <= 0.6

"""WDiscOOD: invariance, dimensions, digits."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import eigh

from outfield.detectors.msp import MSP
from outfield.detectors.wdiscood import WDiscOOD
from outfield.features.fit_data import FitData
from outfield.types import Outputs
from tests import support_digits
from tests.reference.test_detectors_formulae import WORLD, C, D


def scored(detector: WDiscOOD, train: Outputs, test: Outputs) -> torch.Tensor:
    return detector.score(test, detector.fit(FitData.of(train, chunk=70)))


def test_formula() -> None:
    """LDA as the generalised eigenproblem of the two scatters, whose vectors whiten by themselves."""
    f, y = WORLD.train.f, WORLD.train.y
    means, mean = np.array([f[y == c].mean(0) for c in range(C)]), f.mean(0)
    within = np.mean([np.outer(a, a) for a in f - means[y]], axis=0)
    between = sum((y == c).mean() * np.outer(means[c] - mean, means[c] - mean) for c in range(C))
    vectors = eigh(between, within)[1][:, ::-1]
    inside, rest = vectors[:, : C - 1], vectors[:, C - 1 :]
    rows = WORLD.test.f
    nearest = np.array([min(np.linalg.norm((r - m) @ inside) for m in means) for r in rows])
    residual = np.linalg.norm((rows - mean) @ rest, axis=1)
    for alpha in (0.0, 1.0, 5.0):
        ours = scored(WDiscOOD(alpha=alpha), WORLD.train.out, WORLD.test.out)
        np.testing.assert_allclose(ours, nearest + alpha * residual, rtol=1e-6)


def test_an_invertible_map_of_the_features_changes_nothing() -> None:
    change = torch.randn(D, D, generator=torch.Generator().manual_seed(0))
    train, test = (out.with_fields(features=out.features @ change + 1) for out in (WORLD.train.out, WORLD.test.out))
    plain, changed = scored(WDiscOOD(), WORLD.train.out, WORLD.test.out), scored(WDiscOOD(), train, test)
    torch.testing.assert_close(changed, plain, rtol=1e-4, atol=1e-4)


def test_without_the_residual_only_the_discriminative_dimensions_count() -> None:
    detector = WDiscOOD(alpha=0.0)
    state = detector.fit(FitData.of(WORLD.train.out))
    assert state["directions"].shape[1] == C - 1
    seen = state["whitener"] @ state["directions"]
    unseen = torch.linalg.svd(seen.T)[2][C - 1 :]
    moved = WORLD.test.out.with_fields(features=WORLD.test.out.features + 9 * unseen.sum(0).float())
    torch.testing.assert_close(
        detector.score(moved, state), detector.score(WORLD.test.out, state), rtol=1e-4, atol=1e-4
    )


def test_digits_no_worse_than_msp_on_four_of_five_seeds() -> None:
    """Mean of held-out and shuffled digits and noise; measured .96 against .83."""
    sets = ("held-out", "shuffled", "noise")
    ours, msp = (np.mean([support_digits.aurocs(one, far) for far in sets], axis=0) for one in (WDiscOOD(), MSP()))
    assert (ours >= msp).sum() >= 4
    assert np.mean(support_digits.aurocs(WDiscOOD(), "noise")) >= 0.98

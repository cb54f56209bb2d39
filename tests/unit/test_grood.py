"""GROOD: the gradient against autograd, the nearest by a loop."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from outfield.detectors.grood import GROOD, gradients
from outfield.features.fit_data import FitData
from tests.reference.test_detectors_formulae import WORLD, C


def prototypes(mix: float) -> np.ndarray:
    f, y = WORLD.train.f, WORLD.train.y
    means = np.array([f[y == c].mean(0) for c in range(C)])
    second = np.argsort(-WORLD.train.z, axis=1)[:, 1]
    return np.vstack([means, (mix * f + (1 - mix) * means[second]).mean(0)])


def test_the_gradient_is_that_of_autograd() -> None:
    every = torch.tensor(prototypes(0.5))
    for row, predicted in zip(WORLD.test.f[:20], WORLD.test.predicted[:20], strict=True):
        outlier = every[-1].clone().requires_grad_()
        scores = -(torch.tensor(row) - torch.vstack([every[:-1], outlier])).norm(dim=1)
        cross_entropy(scores[None], torch.tensor([predicted])).backward()
        assert outlier.grad is not None
        torch.testing.assert_close(gradients(torch.tensor(row)[None], every)[0], outlier.grad)


def by_hand(rows: np.ndarray, mix: float) -> np.ndarray:
    found = []
    for row in rows:
        away = row - prototypes(mix)
        lengths = np.linalg.norm(away, axis=1)
        found.append(np.exp(-lengths[-1]) / np.exp(-lengths).sum() * away[-1] / lengths[-1])
    return np.array(found)


def test_formula() -> None:
    right = WORLD.train.predicted == WORLD.train.y
    for k, mix in ((1, 0.5), (7, 0.8)):
        bank, test = by_hand(WORLD.train.f[right], mix), by_hand(WORLD.test.f, mix)
        expected = [np.sort(np.linalg.norm(bank - one, axis=1))[k - 1] for one in test]
        detector = GROOD(k=k, mix=mix)
        ours = detector.score(WORLD.test.out, detector.fit(FitData.of(WORLD.train.out, chunk=70)))
        np.testing.assert_allclose(ours, expected, rtol=1e-4)

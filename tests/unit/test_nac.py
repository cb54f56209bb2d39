"""NAC: coverage by hand, the gradient against autograd, and digits."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit, softmax
from torch.nn.functional import cross_entropy

from outfield.detectors.nac import NAC
from outfield.features.coverage import coverage, neuron_states
from outfield.features.fit_data import FitData
from outfield.types import Head, Outputs
from tests import support_digits
from tests.reference.test_detectors_formulae import WORLD, C, Rows


def test_coverage_equals_hand_values() -> None:
    """Three neurons, four bins; each of ten rows is a tenth, and a bin is full with a fifth."""
    counts = torch.tensor([[10, 0, 0, 0], [1, 1, 2, 6], [0, 0, 9, 1]])
    by_hand = [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5]]
    np.testing.assert_allclose(coverage(counts, filled=0.2), by_hand)
    head = Head(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.zeros(2))
    out = Outputs(torch.tensor([[50.0, 0.0]]), torch.tensor([[2.0, 2.0, 5.0]]), head=head)
    found = NAC(alpha=1.0, bins=4).score(out, {"coverage": torch.tensor(by_hand)})
    # States sigmoid(1) = .73, sigmoid(-1) = .27 and sigmoid(0) = .5 lie in bins 2, 1 and 2: (0 + .5 + 1) / 3.
    np.testing.assert_allclose(found, [-0.5])


def test_the_gradient_is_that_of_autograd() -> None:
    """KL(u || p) differs from the cross entropy with u by a constant."""
    out, head = WORLD.test.out, WORLD.test.out.head
    z = out.features.double().requires_grad_()
    logits = z @ head.weight.double().T + head.bias.double()
    cross_entropy(logits, torch.full_like(logits, 1 / C), reduction="sum").backward()
    assert z.grad is not None
    states = neuron_states(out.features, logits.detach(), head, alpha=3.0)
    torch.testing.assert_close(states, torch.sigmoid(3.0 * z.detach() * z.grad), rtol=1e-9, atol=1e-12)


def states(rows: Rows, alpha: float) -> np.ndarray:
    gradient = np.array([sum((p[c] - 1 / C) * WORLD.W[c] for c in range(C)) for p in softmax(rows.z, axis=1)])
    return np.asarray(expit(alpha * rows.f * gradient))


def test_formula() -> None:
    """Histograms by numpy, neuron by neuron."""
    train, detector = WORLD.train, NAC(alpha=2.0, bins=9, filled=0.1)
    right = states(train, 2.0)[train.predicted == train.y]
    edges = np.linspace(0, 1, 10)
    covered = []
    for neuron, test in zip(right.T, states(WORLD.test, 2.0).T, strict=True):
        share = np.histogram(neuron, edges)[0] / len(neuron)
        covered.append(np.minimum(share / 0.1, 1)[np.clip(np.searchsorted(edges, test, side="right") - 1, 0, 8)])
    ours = detector.score(WORLD.test.out, detector.fit(FitData.of(train.out, chunk=70)))
    np.testing.assert_allclose(ours, -np.mean(covered, axis=0), rtol=1e-6)


def test_digits_are_told_from_held_out_and_shuffled_ones() -> None:
    """Five seeds."""
    detector = NAC()
    assert np.mean(support_digits.aurocs(detector, "held-out")) >= 0.75
    assert np.mean(support_digits.aurocs(detector, "shuffled")) >= 0.8

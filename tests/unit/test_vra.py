"""VRA: what it becomes at the ends, and the variational problem that it answers."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import norm

from outfield.detectors.energy import Energy
from outfield.detectors.react import ReAct
from outfield.detectors.vra import VRA
from outfield.features.fit_data import FitData
from outfield.types import Head, Outputs
from tests.reference.test_detectors_formulae import WORLD, energy


def test_without_thresholds_it_is_energy() -> None:
    free = {"alpha": torch.tensor([-torch.inf]), "beta": torch.tensor([torch.inf])}
    torch.testing.assert_close(VRA().score(WORLD.test.out, free), Energy().score(WORLD.test.out, {}))


def test_without_the_lower_threshold_it_is_react_bit_for_bit() -> None:
    data = FitData.of(WORLD.train.out)
    vra, react = VRA(low=0.0, high=0.9), ReAct(percentile=90.0)
    assert torch.equal(vra.score(WORLD.test.out, vra.fit(data)), react.score(WORLD.test.out, react.fit(data)))


def test_vra_plus_raises_what_it_keeps() -> None:
    alpha, beta = np.quantile(WORLD.train.f, [0.6, 0.9])
    f = WORLD.test.f
    expected = energy(WORLD, np.where(f < alpha, 0, np.where(f > beta, beta, f + 0.3)))
    detector = VRA(gamma=0.3)
    ours = detector.score(WORLD.test.out, detector.fit(FitData.of(WORLD.train.out)))
    np.testing.assert_allclose(ours, expected, rtol=2e-3)


def test_the_best_rectifier_of_gaussians_suppresses_keeps_and_suppresses() -> None:
    """``min E_in (g - z)^2 - 2 w (E_in g - E_out g)`` on a grid, OOD activations as wide again as ID ones.

    VRA does what it does: nothing is raised where the solution suppresses, and what lies between is kept.
    """
    z = np.linspace(-3, 3, 61)
    known, far = norm(0, 1).pdf(z), norm(0, 1.5).pdf(z)

    def loss(g: np.ndarray) -> tuple[float, np.ndarray]:
        value = (known * (g - z) ** 2 - 0.4 * (known - far) * g).sum()
        return float(value), 2 * known * (g - z) - 0.4 * (known - far)

    best = minimize(loss, z, jac=True, method="L-BFGS-B", options={"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-12}).x
    raised = best - z > 0
    low, high = z[raised].min(), z[raised].max()
    assert -2 < low < 0 < high < 2
    assert (raised == ((z >= low) & (z <= high))).all(), "one piece in the middle"
    # A head of one weight: the energy gives the rectified activation back.
    head = Head(torch.tensor([[1.0]]), torch.zeros(1))
    state = {"alpha": torch.tensor([low - 0.01]), "beta": torch.tensor([high + 0.01])}
    ours = -VRA().score(Outputs(features=torch.tensor(z[:, None]), head=head), state).numpy()
    assert (ours[z > high + 0.02] < z[z > high + 0.02]).all()
    np.testing.assert_allclose(ours[raised], z[raised])

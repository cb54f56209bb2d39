"""Mixtures of classes: one component is Mahalanobis, two find two modes, and the strategy's densities by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from outfield.features.fit_data import FitData
from outfield.registry import create
from outfield.strategies._heads import fixed_features
from outfield.strategies._parts import with_parts
from outfield.tasks.classify import Classify
from outfield.testing.strategies import small_cnn
from outfield.types import Batch, Outputs
from tests import support_digits


def test_one_component_is_the_mahalanobis_distance() -> None:
    known = support_digits.outputs(0)
    one, mds = create("detectors", "category_mixtures", components=1), create("detectors", "mds")
    data = FitData.of(known["train"])
    scores = [detector.score(known["held-out"], detector.fit(data)) for detector in (one, mds)]
    assert torch.allclose(*scores, rtol=1e-9)


def test_two_components_are_scored_as_two_gaussians_of_the_class() -> None:
    """Against scipy's densities, with centres, weights and covariance read from the clusters."""
    generator = np.random.default_rng(0)
    modes = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 20.0], [0.0, 32.0]])
    which = np.repeat([0, 1, 2, 3], [30, 10, 20, 20])
    rows = modes[which] + generator.normal(size=(80, 2))
    labels = torch.from_numpy(which // 2)
    features = torch.from_numpy(rows).float()
    detector = create("detectors", "category_mixtures", components=2)
    state = detector.fit(FitData.of(Outputs(torch.zeros(80, 2), features, labels)))
    points = generator.normal(scale=10, size=(15, 2))
    found = detector.score(Outputs(features=torch.from_numpy(points).float()), state)
    rows = features.numpy().astype(float)
    centres = np.array([rows[which == mode].mean(0) for mode in range(4)])
    away = rows - centres[which]
    gaussian = multivariate_normal(np.zeros(2), away.T @ away / 80)
    expected = []
    for point in points.astype(np.float32).astype(float):
        density = [gaussian.pdf(point - centre) / gaussian.pdf(np.zeros(2)) for centre in centres]
        each = [0.75 * density[0] + 0.25 * density[1], 0.5 * density[2] + 0.5 * density[3]]
        expected.append(-2 * np.log(max(each)))
    near = np.array(expected) < 600
    np.testing.assert_allclose(found.numpy()[near], np.array(expected)[near], rtol=1e-4)
    assert near.sum() > 5


def test_two_components_find_the_two_modes_of_a_class() -> None:
    generator = torch.Generator().manual_seed(0)
    modes = torch.arange(4).repeat_interleave(25)
    features = 8 * torch.eye(5)[modes] + torch.randn(100, 5, generator=generator)
    train = Outputs(torch.zeros(100, 2), features, modes // 2)
    state = create("detectors", "category_mixtures", components=2).fit(FitData.of(train))
    nearest = torch.cdist(features.double() @ state["whitener"], state["centres"]).argmin(1)
    assert adjusted_rand_score(modes, nearest) > 0.95


def test_a_class_with_fewer_rows_than_components_is_one_gaussian() -> None:
    features = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [1.0, 3.0], [9.0, 9.0]])
    train = Outputs(torch.zeros(5, 2), features, torch.tensor([0, 0, 0, 0, 1]))
    detector = create("detectors", "category_mixtures", components=2)
    scores = detector.score(train, detector.fit(FitData.of(train)))
    assert scores[-1].item() == pytest.approx(0, abs=1e-9)


def test_the_strategys_densities_are_those_of_a_mixture_by_hand() -> None:
    task = Classify(classes=3)
    strategy = create("strategies", "category_mixtures", components=2, weight=0.5, past=0.75)
    network = strategy.network(small_cnn, task)
    held = with_parts(network).parts["mixtures"]
    with torch.no_grad():
        held.weights[0] = torch.tensor([0.3, 0.7])  # type: ignore[index, operator]
        held.variances[0] = torch.linspace(0.5, 2, 16)  # type: ignore[index, operator]
        row = torch.randn(1, 16)
        centres, spread = held.centres[0].numpy(), np.diag(np.linspace(0.5, 2, 16))  # type: ignore[index, operator, union-attr]
        found = held.log_density(row, torch.tensor([0]))  # type: ignore[operator]
        parts = [multivariate_normal(centre, spread).pdf(row[0].numpy()) for centre in centres]
        assert found.item() == pytest.approx(np.log(0.3 * parts[0] + 0.7 * parts[1]), rel=1e-3)
        held.remember(row, torch.tensor([0]), 0.75)  # type: ignore[operator]
    share = 0.3 * parts[0] / (0.3 * parts[0] + 0.7 * parts[1])
    assert held.weights[0, 0].item() == pytest.approx(0.75 * 0.3 + 0.25 * share, abs=1e-4)  # type: ignore[index, operator]


def test_centres_begin_at_items_of_their_class() -> None:
    task = Classify(classes=3)
    strategy = create("strategies", "category_mixtures", components=2)
    network = strategy.network(small_cnn, task)
    data = Batch(torch.rand(9, 1, 12, 12), torch.arange(9) % 3)
    strategy.begin(network, data, task)
    rows = fixed_features(with_parts(network).network, data.x)
    centres = with_parts(network).parts["mixtures"].centres.detach()  # type: ignore[operator, union-attr]
    for label in range(3):
        assert torch.cdist(centres[label], rows[data.targets == label]).min(1).values.max() < 1e-3

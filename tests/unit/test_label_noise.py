"""Label noise of three kinds: what is realised, and what it does to detectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from outfield import registry
from outfield.metrics.base import IdScores
from outfield.strategies.label_noise import LabelNoise, transitions
from outfield.tasks.classify import Classify
from outfield.types import Batch


def noisy(kind: str, share: float, n: int = 4000, classes: int = 5) -> tuple[Batch, torch.Tensor]:
    torch.manual_seed(0)
    labels = torch.arange(n) % classes
    x = torch.rand(n, 1, 4, 4)
    x[:, 0, 0, :] += labels[:, None] / classes
    data = Batch(x, labels)
    return data, LabelNoise(share=share, kind=kind).data(data, Classify(classes=classes)).y  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_class_noise_is_the_transition_matrix_to_one_percent(share: float) -> None:
    data, found = noisy("class", share)
    expected = (1 - share) * np.eye(5) + share * np.roll(np.eye(5), 1, axis=1)
    assert np.abs(transitions(data.targets, found).numpy() - expected).max() <= 0.01


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_uniform_noise_spreads_over_all_other_classes(share: float) -> None:
    data, found = noisy("uniform", share, n=50_000)
    expected = (1 - share) * np.eye(5) + share * (1 - np.eye(5)) / 4
    assert np.abs(transitions(data.targets, found).numpy() - expected).max() <= 0.01
    assert (found != data.targets).double().mean().item() == pytest.approx(share, abs=1e-4)


def test_human_noise_changes_the_pictures_that_look_like_another_class() -> None:
    data, found = noisy("human", 0.25)
    assert np.abs(np.diag(transitions(data.targets, found).numpy()) - 0.75).max() <= 0.01
    x = data.x.flatten(1).numpy().astype(float)
    means = np.stack([x[data.targets.numpy() == c].mean(axis=0) for c in range(5)])
    distance = np.linalg.norm(x[:, None] - means, axis=2)
    own = distance[np.arange(len(x)), data.targets.numpy()]
    distance[np.arange(len(x)), data.targets.numpy()] = np.inf
    doubt, wrong = own - distance.min(axis=1), (found != data.targets).numpy()
    for c in range(5):
        some = data.targets.numpy() == c
        assert doubt[some & wrong].min() >= doubt[some & ~wrong].max()
    assert (found.numpy()[wrong] == distance.argmin(axis=1)[wrong]).all()


def test_labels_of_the_data_stay_as_they_were() -> None:
    data, found = noisy("class", 0.4)
    assert torch.equal(data.targets, torch.arange(4000) % 5) and not torch.equal(found, data.targets)


def test_noise_lowers_detection_and_wrong_inputs_more_than_right_ones() -> None:
    """MSP of a small network that learned digits by heart, with 0, 20 and 40% of labels wrong."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    scans = load_digits()
    x, y = scans.data / 16, scans.target
    known, order = y < 8, np.random.default_rng(0).permutation((y < 8).sum())
    x_id, y_id = x[known][order], y[known][order]
    train, test = slice(0, 500), slice(500, None)
    found = {}
    for share in (0.0, 0.2, 0.4):
        torch.manual_seed(0)
        batch = Batch(torch.from_numpy(x_id[train]).float().reshape(-1, 1, 8, 8), torch.from_numpy(y_id[train]).long())
        labels = LabelNoise(share=share).data(batch, Classify(classes=8)).y.numpy()
        net = MLPClassifier(
            128, max_iter=60, learning_rate_init=0.01, alpha=0, tol=0, n_iter_no_change=99, random_state=0
        )
        net = _fitted(net, x_id[train], labels)
        p_id, p_ood = net.predict_proba(x_id[test]), net.predict_proba(x[~known])
        right = p_id.argmax(axis=1) == y_id[test]
        ranking = IdScores(1 - p_id.max(axis=1), right).against(1 - p_ood.max(axis=1))
        of = {n: registry.create("metrics", n) for n in ("auroc", "auroc_correct_vs_ood", "auroc_incorrect_vs_ood")}
        found[share] = {name: one.of(ranking).value for name, one in of.items() if one.defined(ranking)}
    aurocs = [found[share]["auroc"] for share in (0.0, 0.2, 0.4)]
    assert aurocs[0] > aurocs[1] + 0.1 and aurocs[1] > aurocs[2], aurocs
    assert found[0.4]["auroc_correct_vs_ood"] > found[0.4]["auroc_incorrect_vs_ood"] + 0.1


def _fitted(net, x, y):  # type: ignore[no-untyped-def]
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(x, y)

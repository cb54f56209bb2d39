"""Further detectors against their formulae, written once more in numpy, scipy and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from outfield.errors import UserError
from outfield.features.banks import priorities
from outfield.features.fit_data import FitData
from outfield.registry import create
from outfield.testing.world import TinyModel, extract, world
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD, C, D


def doctor(w: Any) -> np.ndarray:
    g = (w.test.p**2).sum(1)
    return (1 - g) / g


def cosine(w: Any) -> np.ndarray:
    return -cosine_similarity(w.test.f, w.W).max(1)


def mcm(w: Any, temperature: float) -> np.ndarray:
    return 1 - softmax(cosine_similarity(w.test.f, w.W) / temperature, axis=1).max(1)


def trust_score(w: Any) -> np.ndarray:
    scores = []
    for f, predicted in zip(w.test.f, w.test.predicted, strict=True):
        nearest = [np.linalg.norm(w.train.f[w.train.y == c] - f, axis=1).min() for c in range(C)]
        trust = min(d for c, d in enumerate(nearest) if c != predicted) / nearest[predicted]
        scores.append(1 / (1 + trust))
    return np.array(scores)


def lof(w: Any, k: int) -> np.ndarray:
    fitted = LocalOutlierFactor(n_neighbors=k, novelty=True, algorithm="brute").fit(w.train.f)
    return np.asarray(-fitted.score_samples(w.test.f))


def one_class_svm(w: Any, nu: float) -> np.ndarray:
    fitted = OneClassSVM(nu=nu, gamma=1 / (D * w.train.f.var())).fit(w.train.f)
    kernels = rbf_kernel(w.test.f, w.train.f[fitted.support_], gamma=1 / (D * w.train.f.var()))
    np.testing.assert_allclose(kernels @ fitted.dual_coef_[0] + fitted.intercept_, fitted.decision_function(w.test.f))
    return np.asarray(-fitted.decision_function(w.test.f))


def isolation_forest(w: Any, rows: int) -> np.ndarray:
    forest = IsolationForest(n_estimators=100, max_samples=rows, random_state=0).fit(w.train.f.astype(np.float32))
    return np.asarray(-forest.score_samples(w.test.f.astype(np.float32)))


def optfs(w: Any, bins: int) -> np.ndarray:
    low, high = np.quantile(w.train.f, [1e-3, 1 - 1e-3])
    edges = np.linspace(low, high, bins + 1)

    def contributions(rows: Any) -> np.ndarray:
        parts = rows.f * w.W[rows.predicted]
        inside = [(rows.f >= a) & (rows.f < b) for a, b in pairwise(edges)]
        return np.array([(parts * mask).sum(1) for mask in inside]).T

    theta = contributions(w.train).mean(0)
    return -contributions(w.test) @ (theta / np.linalg.norm(theta) * np.sqrt(bins))


def weiper(w: Any) -> np.ndarray:
    r, bins, s1, s2, lambda_1, lambda_2 = WEIPER.values()
    noise = torch.randn(r, C, D, generator=torch.Generator().manual_seed(0)).double().numpy()
    lengths = np.linalg.norm(noise, axis=2, keepdims=True)
    noise = noise / lengths
    heads = w.W + 2.1 * np.linalg.norm(w.W, axis=1)[None, :, None] * noise
    spaces = {"f": lambda f: f, "z": lambda f: np.concatenate([f @ head.T + w.b for head in heads], axis=1)}

    def divergence(name: str, size: int, epsilon: float) -> np.ndarray:
        train, test = spaces[name](w.train.f), spaces[name](w.test.f)
        edges = np.linspace(train.min(), train.max(), bins + 1)

        def histogram(row: np.ndarray) -> np.ndarray:
            return np.histogram(row, edges)[0] / len(row)

        p = np.mean([histogram(row) for row in train], axis=0) + epsilon
        found = []
        for row in test:
            # the average over `size` bins that starts (size - 1) // 2 bins before
            q = uniform_filter1d(histogram(row), size, mode="nearest", origin=0 if size % 2 else -1) + epsilon
            found.append(entropy(p, q) + entropy(q, p))
        return np.array(found)

    sure = np.mean([softmax(w.test.f @ head.T + w.b, axis=1).max(1) for head in heads], axis=0)
    return divergence("f", s1, 0.01) + lambda_1 * divergence("z", s2, 0.025) - lambda_2 * sure


def sirc(w: Any) -> np.ndarray:
    norms = np.abs(w.val.f).sum(1)
    a, b = norms.mean() - 3 * norms.std(), 1 / norms.std()
    return np.log((1 - w.test.p.max(1)) * (1 + np.exp(-b * (np.abs(w.test.f).sum(1) - a))))


def scod(w: Any, c_in: float, c_out: float) -> np.ndarray:
    ratio = 1 / np.abs(w.test.f).sum(1) / np.mean(1 / np.abs(w.val.f).sum(1))
    return (1 - c_in - c_out) * (1 - w.test.p.max(1)) + c_out * ratio - c_in


def scod_of_energy(w: Any) -> np.ndarray:
    ratio = np.exp(-logsumexp(w.test.z, axis=1)) / np.mean(np.exp(-logsumexp(w.val.z, axis=1)))
    return 0.6 * (1 - w.test.p.max(1)) + 0.2 * ratio - 0.2


WEIPER = {"repeats": 7, "bins": 12, "smooth": 3, "smooth_logits": 4, "lambda_1": 2.5, "lambda_2": 0.5}

CASES: tuple[tuple[str, dict[str, Any], Callable[[Any], np.ndarray], float], ...] = (
    ("doctor", {}, doctor, 1e-6),
    ("cosine", {}, cosine, 1e-5),
    ("mcm", {}, lambda w: mcm(w, 1.0), 1e-5),
    ("mcm", {"temperature": 0.05}, lambda w: mcm(w, 0.05), 1e-4),
    ("feature_norm", {"p": 2.0}, lambda w: -np.linalg.norm(w.test.f, axis=1), 1e-6),
    ("feature_norm", {}, lambda w: -np.abs(w.test.f).sum(1), 1e-6),
    ("trust_score", {}, trust_score, 1e-5),
    ("lof", {}, lambda w: lof(w, 20), 1e-5),
    ("lof", {"k": 3}, lambda w: lof(w, 3), 1e-5),
    ("one_class_svm", {}, lambda w: one_class_svm(w, 0.5), 1e-6),
    ("one_class_svm", {"nu": 0.1}, lambda w: one_class_svm(w, 0.1), 1e-6),
    ("isolation_forest", {}, lambda w: isolation_forest(w, 256), 1e-6),
    ("isolation_forest", {"rows": 2}, lambda w: isolation_forest(w, 2), 1e-6),
    ("isolation_forest", {"rows": 64}, lambda w: isolation_forest(w, 64), 1e-6),
    ("optfs", {"bins": 20}, lambda w: optfs(w, 20), 0.02),
    ("weiper", WEIPER, weiper, 1e-4),
    ("sirc", {}, sirc, 1e-5),
    ("scod", {}, lambda w: scod(w, 0.2, 0.2), 1e-5),
    ("scod", {"c_in": 0.3, "c_out": 0.5}, lambda w: scod(w, 0.3, 0.5), 1e-5),
    ("scod", {"ood": "energy", "link": "log_ratio"}, scod_of_energy, 1e-5),
)


@pytest.mark.parametrize(
    ("name", "params", "formula", "tolerance"), CASES, ids=[f"{name}-{params}" for name, params, *_ in CASES]
)
def test_formula(name: str, params: dict[str, Any], formula: Callable[[Any], np.ndarray], tolerance: float) -> None:
    detector = create("detectors", name, **params)
    state = detector.fit(FitData.of(WORLD.train.out, WORLD.val.out, chunk=70))
    ours = detector.score(WORLD.test.out, state).double().numpy()
    expected = formula(WORLD)
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance * expected.std())


BY_PROBES = {"blood", "iodin", "rankfeat", "patchcore", "uncertainty"}
"""Detectors whose values come from probes: held here below and in tests/unit, each in the file of its name."""


def test_iodin_moves_the_number_of_the_largest_gradient() -> None:
    model, x = world().model, world().test.x[:12]
    detector = create("detectors", "iodin", temperature=10.0, epsilon=0.05)
    ours = detector.score(extract(model, x, None, detector.probes()), {}).numpy()
    for i in range(len(x)):
        row = x[i : i + 1].clone().requires_grad_()
        logits = model.forward(row).logits
        torch.nn.functional.cross_entropy(logits.double() / 10, logits.argmax(1)).backward()
        assert row.grad is not None
        gradient, moved = row.grad.flatten().numpy(), row.detach().numpy().copy().ravel()
        j = int(np.abs(gradient).argmax())
        moved[j] -= 0.05 * np.sign(gradient[j]) / 0.5
        after = model.forward(torch.from_numpy(moved).view_as(row)).logits.detach().double().numpy()
        np.testing.assert_allclose(ours[i], 1 - softmax(after / 10, axis=1).max(), rtol=1e-4)


def test_rankfeat_goes_on_without_the_largest_singular_component() -> None:
    model, x = world().model, world().test.x[:12]
    detector = create("detectors", "rankfeat")
    ours = detector.score(extract(model, x, None, detector.probes()), {}).numpy()
    maps = model.conv(x).relu().detach().numpy().reshape(12, 6, -1)
    u, s, v = np.linalg.svd(maps, full_matrices=False)
    s[:, 0] = 0
    rest = torch.from_numpy((u * s[:, None]) @ v).flatten(1)
    logits = model.linear(model.hidden(rest).relu()).detach().double().numpy()
    np.testing.assert_allclose(ours, -logsumexp(logits, axis=1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 5), (4, 1)])
def test_what_rankfeat_leaves_has_one_singular_value_fewer(shape: tuple[int, int]) -> None:
    from outfield.features.probes.rankfeat import without_rank_one

    maps = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, after = torch.linalg.svdvals(maps), torch.linalg.svdvals(without_rank_one(maps))
    torch.testing.assert_close(after[:, :-1], before[:, 1:], rtol=1e-6, atol=1e-9)
    assert not without_rank_one(torch.zeros(2, *shape)).any()


def test_rankfeat_of_two_blocks_is_the_mean_of_their_logits() -> None:
    from outfield.models.networks.small_cnn import SmallCNN
    from outfield.models.torch import TorchModel

    torch.manual_seed(0)
    net = SmallCNN(classes=3, width=4).eval()
    model = TorchModel(net, np.zeros((1, 8, 8, 1), np.uint8))
    x = torch.rand(4, 1, 8, 8)
    (probe,) = create("detectors", "rankfeat").probes()
    first = model.forward(x, model.layers)
    out = Outputs(layers=probe(model, x, first))
    last, before = model.layers[-1], model.layers[-2]
    logits = []
    for name in (last, before):
        values = first.layers[name].detach().numpy()
        u, s, v = np.linalg.svd(values.reshape(4, values.shape[1], -1), full_matrices=False)
        s[:, 0] = 0
        rest = torch.from_numpy(((u * s[:, None]) @ v).reshape(values.shape))
        rest = rest if name == last else getattr(net, last)(rest)
        logits.append(net.head(net.pool(rest).flatten(1)).detach())
    expected = -torch.logsumexp((logits[0] + logits[1]) / 2, dim=1)
    torch.testing.assert_close(create("detectors", "rankfeat").score(out, {}), expected, rtol=1e-4, atol=1e-5)
    assert not net.block3._forward_hooks, "the layer is as it was"


def test_patchcore_is_the_largest_distance_to_the_coreset() -> None:
    model = world().model
    detector = create("detectors", "patchcore", patches=15, rows=40)
    (probe,) = detector.probes()
    train, test = (extract(model, split.x[:60], None, [probe]) for split in (world().train, world().test))
    ours = detector.score(test, detector.fit(FitData.of(train))).numpy()

    def patches(x: torch.Tensor) -> np.ndarray:
        maps = np.pad(model.conv(x).relu().detach().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
        means = [[maps[:, :, i : i + 3, j : j + 3].mean((2, 3)) for j in range(4)] for i in range(4)]
        return np.array(means).transpose(2, 0, 1, 3).reshape(len(x), 16, -1)

    rows = np.sort(np.argsort(priorities(np.arange(60), 0))[:40])
    known = patches(world().train.x[rows]).reshape(-1, 6)
    known = known[np.sort(np.argsort(priorities(np.arange(len(known)), 0))[:300])]
    bank = [int(((known - known.mean(0)) ** 2).sum(1).argmax())]
    while len(bank) < 15:
        bank.append(int(np.min([((known - known[b]) ** 2).sum(1) for b in bank], axis=0).argmax()))
    gaps = np.linalg.norm(patches(world().test.x[:60])[:, :, None] - known[bank], axis=3)
    np.testing.assert_allclose(ours, gaps.min(2).max(1), rtol=1e-3)


def test_dropout_on_features_is_the_head_of_masked_features() -> None:
    model, x = world().model, world().test.x[:5]
    detector = create("detectors", "uncertainty", samples=400, rate=0.25)
    (probe,) = detector.probes()
    out = extract(model, x, None, [probe])
    logits = out.layers[probe.key]
    assert logits.shape == (5, 400, 5)
    torch.testing.assert_close(logits.mean(1), out.logits, rtol=0, atol=0.2 * float(logits.std(1).max()))
    kept = (out.features[:, None] * model.linear.weight[0].detach()).squeeze(1)
    expected = (kept**2).sum(1) * 0.25 / 0.75
    np.testing.assert_allclose(logits[:, :, 0].var(1).numpy(), expected.numpy(), rtol=0.4)


def test_the_world_has_no_dropout_of_its_own() -> None:
    (probe,) = create("detectors", "uncertainty", source="model").probes()
    with pytest.raises(UserError, match=r"layers of dropout, or an ensemble, but .* has none"):
        extract(TinyModel(), world().test.x[:2], None, [probe])

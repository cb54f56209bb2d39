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

from outfield.features.fit_data import FitData
from outfield.registry import create
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


BY_PROBES: set[str] = set()
"""Detectors whose values come from probes, each held below."""

"""Every detector against its formula, written once more in plain numpy with loops where the code has products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp, softmax
from scipy.stats import entropy, rankdata, weibull_min

from outfield.detectors.base import Detector
from outfield.features.banks import priorities
from outfield.features.fit_data import FitData
from outfield.registry import create, own
from outfield.types import Head, Outputs

C, D = 4, 20


@dataclass
class Rows:
    """Outputs as float64 arrays, and the same as tensors."""

    f: np.ndarray
    z: np.ndarray
    y: np.ndarray
    out: Outputs

    @property
    def p(self) -> np.ndarray:
        return softmax(self.z, axis=1)

    @property
    def predicted(self) -> np.ndarray:
        return self.z.argmax(1)

    @property
    def n(self) -> np.ndarray:
        return self.f / np.linalg.norm(self.f, axis=1, keepdims=True)


def world(seed: int = 0) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    centres = 2 * rng.random((C, D)) * (rng.random((C, D)) < 0.6)
    weight = ((centres - centres.mean(0)) * 0.6).astype(np.float32)
    bias = rng.normal(size=C).astype(np.float32)

    def rows(n: int, spread: float) -> Rows:
        y = rng.integers(C, size=n)
        f = np.maximum(centres[y] + spread * rng.normal(size=(n, D)), 0).astype(np.float32)
        z = (f @ weight.T + bias).astype(np.float32)
        head = Head(torch.from_numpy(weight), torch.from_numpy(bias))
        out = Outputs(torch.from_numpy(z), torch.from_numpy(f), torch.from_numpy(y), head)
        return Rows(f.astype(np.float64), z.astype(np.float64), y, out)

    made = SimpleNamespace(train=rows(260, 0.6), val=rows(150, 0.8), test=rows(60, 2.0))
    return SimpleNamespace(**vars(made), W=weight.astype(np.float64), b=bias.astype(np.float64))


WORLD = world()


def energy(w: Any, f: np.ndarray) -> np.ndarray:
    return -logsumexp(f @ w.W.T + w.b, axis=1)


def msp(w: Any) -> np.ndarray:
    return 1 - w.test.p.max(1)


def temp_scale(w: Any) -> np.ndarray:
    def nll(beta: float) -> float:
        return float(np.mean(logsumexp(beta * w.val.z, axis=1) - beta * w.val.z[np.arange(len(w.val.y)), w.val.y]))

    beta = minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x
    return 1 - softmax(beta * w.test.z, axis=1).max(1)


def klm(w: Any) -> np.ndarray:
    templates = [w.val.p[w.val.predicted == k].mean(0) for k in range(C) if (w.val.predicted == k).any()]
    return np.array([min(entropy(p, d) for d in templates) for p in w.test.p])


def gen(w: Any, gamma: float, m: int) -> np.ndarray:
    top = -np.sort(-w.test.p, axis=1)[:, :m]
    return (top**gamma * (1 - top) ** gamma).sum(1)


def mahalanobis(w: Any) -> np.ndarray:
    means = np.array([w.train.f[w.train.y == c].mean(0) for c in range(C)])
    centred = w.train.f - means[w.train.y]
    inverse = np.linalg.pinv(centred.T @ centred / len(centred), hermitian=True)
    return np.array([[(f - m) @ inverse @ (f - m) for m in means] for f in w.test.f])


def rmds(w: Any) -> np.ndarray:
    mean = w.train.f.mean(0)
    inverse = np.linalg.pinv(np.cov(w.train.f.T, bias=True), hermitian=True)
    background = np.array([(f - mean) @ inverse @ (f - mean) for f in w.test.f])
    return (mahalanobis(w) - background[:, None]).min(1)


def knn(w: Any, k: int) -> np.ndarray:
    return np.array([np.sort(np.linalg.norm(w.train.n - n, axis=1))[k - 1] for n in w.test.n])


def she(w: Any) -> np.ndarray:
    right = w.train.predicted == w.train.y
    patterns = np.array([w.train.f[right & (w.train.y == c)].mean(0) for c in range(C)])
    return -np.array([f @ patterns[c] for f, c in zip(w.test.f, w.test.predicted, strict=True)])


def residual(w: Any, rows: Rows, d: int) -> np.ndarray:
    origin = -np.linalg.pinv(w.W, rcond=1e-6) @ w.b
    x = w.train.f - origin
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    rest = vectors[:, np.argsort(-values)[d:]]
    return np.linalg.norm((rows.f - origin) @ rest, axis=1)


def vim(w: Any, d: int) -> np.ndarray:
    alpha = w.train.z.max(1).mean() / residual(w, w.train, d).mean()
    return alpha * residual(w, w.test, d) - logsumexp(w.test.z, axis=1)


def top_mass(f: np.ndarray, percentile: float) -> np.ndarray:
    k = len(f) - round(len(f) * percentile / 100)
    return np.sort(f)[::-1][:k]


def ash(w: Any, percentile: float, variant: str) -> np.ndarray:
    shaped = []
    for f in w.test.f:
        top = top_mass(f, percentile)
        kept = np.where(f >= top[-1], f, 0.0)
        changed = {
            "p": kept,
            "b": (kept > 0) * f.sum() / len(top),
            "s": kept * np.exp(f.sum() / top.sum()),
        }
        shaped.append(changed[variant])
    return energy(w, np.array(shaped))


def scale(w: Any, percentile: float) -> np.ndarray:
    return energy(w, np.array([f * np.exp(f.sum() / top_mass(f, percentile).sum()) for f in w.test.f]))


def lts(w: Any) -> np.ndarray:
    r = np.array([f.sum() / top_mass(f, 95).sum() for f in w.test.f])
    return -logsumexp(w.test.z * r[:, None] ** 2, axis=1)


def react(w: Any, percentile: float) -> np.ndarray:
    return energy(w, np.minimum(w.test.f, np.percentile(w.train.f, percentile)))


def vra(w: Any) -> np.ndarray:
    alpha, beta = np.quantile(w.train.f, [0.6, 0.9])
    return energy(w, np.where(w.test.f < alpha, 0, np.minimum(w.test.f, beta)))


def dice(w: Any, percentile: float) -> np.ndarray:
    contribution = w.train.f.mean(0)[None] * w.W
    mask = contribution > np.percentile(contribution, percentile)
    per_unit = w.test.f[:, None, :] * (w.W * mask)[None]
    return -logsumexp(per_unit.sum(2) + w.b, axis=1)


def nnguide(w: Any, k: int) -> np.ndarray:
    bank = w.train.n * logsumexp(w.train.z, axis=1)[:, None]
    guidance = np.array([np.sort(bank @ n)[-k:].mean() for n in w.test.n])
    return -guidance * logsumexp(w.test.z, axis=1)


def relation(w: Any, power: float) -> np.ndarray:
    scores = []
    for n, p in zip(w.test.n, w.test.p, strict=True):
        r = np.array([max(0.0, n @ m) * (p @ q) for m, q in zip(w.train.n, w.train.p, strict=True)])
        scores.append(-sum(x**power for x in r if x > 0.03))
    return np.array(scores)


def fdbd(w: Any, from_mean: bool) -> np.ndarray:
    scores = []
    for f, z in zip(w.test.f, w.test.z, strict=True):
        y = z.argmax()
        distances = [(z[y] - z[k]) / np.linalg.norm(w.W[y] - w.W[k]) for k in range(C) if k != y]
        scores.append(-np.mean(distances) / np.linalg.norm(f - w.train.f.mean(0) * from_mean))
    return np.array(scores)


def nci(w: Any, alpha: float) -> np.ndarray:
    away = w.test.f - w.train.f.mean(0)
    weights = w.W[w.test.predicted]
    return -((weights * away).sum(1) / np.linalg.norm(away, axis=1) + alpha * np.abs(w.test.f).sum(1))


def neco(w: Any, d: int | None) -> np.ndarray:
    mean, sd = w.train.f.mean(0), w.train.f.std(0)
    _, singular, vectors = np.linalg.svd((w.train.f - mean) / sd, full_matrices=False)
    explained = np.cumsum(singular**2) / np.sum(singular**2)
    q = int(np.argmax(explained >= 0.9)) + 1 if d is None else d
    rows = (w.test.f - mean) / sd
    return -np.linalg.norm(rows @ vectors[:q].T, axis=1) / np.linalg.norm(rows, axis=1)


def reconstruction(train: np.ndarray, test: np.ndarray, explained: float) -> np.ndarray:
    mean = train.mean(0)
    _, singular, vectors = np.linalg.svd(train - mean, full_matrices=False)
    q = int(np.argmax(np.cumsum(singular**2) / np.sum(singular**2) >= explained)) + 1
    v = test - mean
    return np.linalg.norm(v - v @ vectors[:q].T @ vectors[:q], axis=1)


def corp(w: Any, m: int) -> np.ndarray:
    rng = torch.Generator().manual_seed(0)
    omega = np.sqrt(2 * 2.0) * torch.randn(m, D, generator=rng).double().numpy()
    shift = 2 * np.pi * torch.rand(m, generator=rng).double().numpy()
    train, test = (np.sqrt(2 / m) * np.cos(rows.n @ omega.T + shift) for rows in (w.train, w.test))
    return reconstruction(train, test, 0.8)


def gradnorm(w: Any) -> np.ndarray:
    scores = []
    for f in w.test.out.features:
        weight = torch.from_numpy(w.W).requires_grad_()
        logits = weight @ f.double() + torch.from_numpy(w.b)
        (-torch.log_softmax(logits, 0).sum()).backward()
        scores.append(-float(weight.grad.abs().sum()))
    return np.array(scores)


def openmax(w: Any, alpha: int, tail: int) -> np.ndarray:
    right = w.train.predicted == w.train.y
    means, weibulls = [], []
    for c in range(C):
        z = w.train.z[right & (w.train.y == c)]
        means.append(z.mean(0))
        largest = np.sort(np.linalg.norm(z - means[c], axis=1))[-tail:]
        weibulls.append((*_likeliest_weibull(largest - largest.min() + 1), largest.min()))
    scores = []
    for z in w.test.z:
        weight = np.ones(C)
        for i, c in enumerate(np.argsort(-z)[:alpha], start=1):
            shape, size, least = weibulls[c]
            x = np.linalg.norm(z - means[c]) - least + 1
            weight[c] = 1 - (alpha + 1 - i) / alpha * weibull_min.cdf(x, shape, scale=size)
        scores.append(softmax([np.sum(z * (1 - weight)), *(z * weight)])[0])
    return np.array(scores)


def _likeliest_weibull(x: np.ndarray) -> tuple[float, float]:
    def loss(logs: np.ndarray) -> float:
        return -float(weibull_min.logpdf(x, np.exp(logs[0]), scale=np.exp(logs[1])).sum())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 5000})
    return float(np.exp(best.x[0])), float(np.exp(best.x[1]))


CASES: tuple[tuple[str, dict[str, Any], Callable[[Any], np.ndarray], float], ...] = (
    ("msp", {}, msp, 1e-6),
    ("mls", {}, lambda w: -w.test.z.max(1), 1e-6),
    ("energy", {}, lambda w: -logsumexp(w.test.z, axis=1), 1e-6),
    ("energy", {"temperature": 3.0}, lambda w: -3 * logsumexp(w.test.z / 3, axis=1), 1e-6),
    ("entropy", {}, lambda w: np.array([entropy(p) for p in w.test.p]), 1e-6),
    ("temp_scale", {}, temp_scale, 1e-5),
    ("klm", {}, klm, 1e-6),
    ("gen", {}, lambda w: gen(w, 0.1, C), 1e-6),
    ("gen", {"gamma": 2.0, "m": 2}, lambda w: gen(w, 2.0, 2), 1e-6),
    ("mds", {}, lambda w: mahalanobis(w).min(1), 1e-6),
    ("rmds", {}, rmds, 1e-6),
    ("knn", {}, lambda w: knn(w, 50), 1e-5),
    ("knn", {"k": 1}, lambda w: knn(w, 1), 1e-5),
    ("she", {}, she, 1e-6),
    ("residual", {}, lambda w: residual(w, w.test, D // 2), 1e-6),
    ("vim", {}, lambda w: vim(w, D // 2), 1e-6),
    ("vim", {"d": 3}, lambda w: vim(w, 3), 1e-6),
    ("ash", {"percentile": 65}, lambda w: ash(w, 65, "s"), 1e-5),
    ("ash", {"percentile": 80, "variant": "b"}, lambda w: ash(w, 80, "b"), 1e-5),
    ("ash", {"percentile": 80, "variant": "p"}, lambda w: ash(w, 80, "p"), 1e-5),
    ("scale", {}, lambda w: scale(w, 85), 1e-5),
    ("lts", {}, lts, 1e-5),
    ("react", {}, lambda w: react(w, 90), 1e-3),
    ("react", {"percentile": 70}, lambda w: react(w, 70), 1e-3),
    ("vra", {}, vra, 1e-3),
    ("dice", {}, lambda w: dice(w, 90), 1e-5),
    ("dice", {"percentile": 30}, lambda w: dice(w, 30), 1e-5),
    ("nnguide", {}, lambda w: nnguide(w, 10), 1e-5),
    ("relation", {}, lambda w: relation(w, 1), 1e-5),
    ("relation", {"power": 4.0}, lambda w: relation(w, 4), 1e-4),
    ("fdbd", {}, lambda w: fdbd(w, True), 1e-5),
    ("fdbd", {"from_mean": False}, lambda w: fdbd(w, False), 1e-5),
    ("nci", {}, lambda w: nci(w, 1e-4), 1e-5),
    ("nci", {"alpha": 0.1}, lambda w: nci(w, 0.1), 1e-5),
    ("neco", {}, lambda w: neco(w, None), 1e-6),
    ("neco", {"d": 4}, lambda w: neco(w, 4), 1e-6),
    ("neco", {"d": 4, "times_max_logit": True}, lambda w: neco(w, 4) * w.test.z.max(1), 1e-6),
    ("cop", {}, lambda w: reconstruction(w.train.n, w.test.n, 0.85), 1e-5),
    ("corp", {"m": 64}, lambda w: corp(w, 64), 1e-4),
    ("gradnorm", {}, gradnorm, 1e-6),
    ("openmax", {}, lambda w: openmax(w, 3, 20), 1e-4),
    ("openmax", {"alpha": 4, "tail": 9}, lambda w: openmax(w, 4, 9), 1e-4),
)


@pytest.mark.parametrize(
    ("name", "params", "formula", "tolerance"), CASES, ids=[f"{name}-{params}" for name, params, *_ in CASES]
)
def test_formula(name: str, params: dict[str, Any], formula: Callable[[Any], np.ndarray], tolerance: float) -> None:
    detector: Detector = create("detectors", name, **params)
    state = detector.fit(FitData.of(WORLD.train.out, WORLD.val.out, chunk=70))
    ours = detector.score(WORLD.test.out, state).double().numpy()
    expected = formula(WORLD)
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance * expected.std())


def test_gram() -> None:
    rng = np.random.default_rng(1)
    maps = {split: rng.gamma(2.0, size=(len(rows.y), 3, 4, 4)) for split, rows in _splits()}
    detector = create("detectors", "gram", powers=3, seed=5)
    (probe,) = detector.probes()
    outs = {split: _probed(rows, f"{probe.key}/relu", _row_sums(maps[split], 3)) for split, rows in _splits()}
    ours = detector.score(outs["test"], detector.fit(FitData.of(outs["train"], chunk=50))).numpy()
    np.testing.assert_allclose(ours, _gram(maps, seed=5), rtol=1e-4)


def _splits() -> list[tuple[str, Rows]]:
    return [("train", WORLD.train), ("test", WORLD.test)]


def _probed(rows: Rows, name: str, values: np.ndarray) -> Outputs:
    return Outputs(rows.out.logits, rows.out.features, rows.out.labels, rows.out.head, {name: torch.from_numpy(values)})


def _row_sums(maps: np.ndarray, powers: int) -> np.ndarray:
    per_row = []
    for a in maps.reshape(*maps.shape[:2], -1):
        sums = [((a**q) @ (a**q).T).sum(1) for q in range(1, powers + 1)]
        per_row.append(np.concatenate([np.sign(r) * np.abs(r) ** (1 / q) for q, r in enumerate(sums, start=1)]))
    return np.array(per_row)


def _gram(maps: dict[str, np.ndarray], seed: int) -> np.ndarray:
    g = {split: _row_sums(values, 3) for split, values in maps.items()}
    held_out = priorities(np.arange(len(g["train"])), seed) < 0.1
    assert 5 < held_out.sum() < 60
    bounds = []
    for c in range(C):
        rows = g["train"][~held_out & (WORLD.train.predicted == c)]
        bounds.append((rows.min(0), rows.max(0)))

    def delta(values: np.ndarray, c: int) -> float:
        low, high = bounds[c]
        below, above = np.maximum(low - values, 0), np.maximum(values - high, 0)
        return float((below / np.abs(low + 1e-6) + above / np.abs(high + 1e-6)).sum())

    usual = np.mean([delta(v, c) for v, c in zip(g["train"][held_out], WORLD.train.predicted[held_out], strict=True)])
    deltas = np.array([delta(v, c) for v, c in zip(g["test"], WORLD.test.predicted, strict=True)])
    return deltas / usual / WORLD.test.p.max(1)


def test_odin() -> None:
    detector = create("detectors", "odin", temperature=10.0)
    (probe,) = detector.probes()
    out = Outputs(layers={probe.key: WORLD.test.out.logits})
    expected = 1 - softmax(WORLD.test.z / 10, axis=1).max(1)
    np.testing.assert_allclose(detector.score(out, {}).numpy(), expected, rtol=1e-9)


def test_adascale() -> None:
    rng = np.random.default_rng(2)
    detector = create("detectors", "adascale", p_min=60.0, p_max=95.0, k1=0.25, k2=0.1)
    (probe,) = detector.probes()
    splits = {"val": WORLD.val, "test": WORLD.test}
    moved = {split: rows.f + rng.normal(size=rows.f.shape) for split, rows in splits.items()}
    val, test = (_probed(rows, probe.key, moved[split]) for split, rows in splits.items())
    ours = detector.score(test, detector.fit(FitData.of(WORLD.train.out, val, chunk=40))).numpy()

    def shift(f: np.ndarray, after: np.ndarray) -> float:
        order = np.argsort(-f, kind="stable")
        return float(np.maximum(after[order[:5]], 0).sum() + 10 * np.abs(f - after)[order[:2]].sum())

    known = np.array([shift(f, after) for f, after in zip(WORLD.val.f, moved["val"], strict=True)])
    shaped = []
    for f, after in zip(WORLD.test.f, moved["test"], strict=True):
        percentile = 60 + (1 - np.mean(known <= shift(f, after))) * 35
        shaped.append(f * np.exp(f.sum() / top_mass(f, percentile).sum()))
    np.testing.assert_allclose(ours, energy(WORLD, np.array(shaped)), rtol=1e-5)


def test_every_detector_has_its_formula() -> None:
    """Here, in the further file, in one of its own, ``tests/unit/test_NAME.py``, or beside what it needs."""
    from tests.reference import test_further_detectors_formulae as further

    files = Path(__file__).parents[1].glob("unit/test_*.py")
    elsewhere = {path.stem.removeprefix("test_") for path in files} | {"rmdspp", "gram", "odin", "adascale"}
    beside = {"gl_mcm": "clip", "neglabel": "clip", "mos": "shape_strategies"}
    assert set(beside.values()) <= elsewhere
    held = {name for name, *_ in (*CASES, *further.CASES)} | further.BY_PROBES | elsewhere | set(beside)
    assert held >= set(own("detectors"))


@pytest.mark.parametrize("name", ["msp", "entropy", "gen", "odin", "temp_scale"])
def test_sure_models_are_told_apart(name: str) -> None:
    """Logit gaps from 20 to 600 saturate float32, and must still be ranked."""
    detector = create("detectors", name)
    logits = torch.zeros(30, C)
    logits[:, 0] = torch.linspace(20, 600, 30)
    out = Outputs(logits=logits, layers={probe.key: logits for probe in detector.probes()})
    state = {"temperature": torch.ones(1, dtype=torch.float64)} if name == "temp_scale" else {}
    assert np.array_equal(rankdata(detector.score(out, state).numpy()), np.arange(30, 0, -1))

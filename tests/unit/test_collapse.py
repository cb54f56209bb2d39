"""Neural collapse and coverage of models: by hand, along training, and in the rows of a study."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy import ndimage
from scipy.stats import spearmanr
from torch import Tensor, nn

from outfield.features.collapse import collapse, ood_alignment
from outfield.features.coverage import total_coverage
from outfield.registry import create
from outfield.reports.results import Results
from outfield.testing.simulated import rows
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD, C
from tests.support_digits import KNOWN, _said, pictures


def test_formula() -> None:
    """Each measure from its definition, with a pseudo-inverse and loops."""
    f, y = WORLD.train.f, WORLD.train.y
    means = np.array([f[y == c].mean(0) for c in range(C)])
    away = means - means.mean(0)
    within, between = np.cov((f - means[y]).T, bias=True), away.T @ away / C
    lengths = np.linalg.norm(away, axis=1)
    angles = [away[a] @ away[b] / lengths[a] / lengths[b] for a in range(C) for b in range(C) if a != b]
    nearest = np.array([np.argmin([np.linalg.norm(row - m) for m in means]) for row in f])
    expected = {
        "nc1": np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / C,
        "nc2_norms": lengths.std() / lengths.mean(),
        "nc2_angles": np.mean([abs(angle + 1 / (C - 1)) for angle in angles]),
        "nc3": np.linalg.norm(away / np.linalg.norm(away) - WORLD.W / np.linalg.norm(WORLD.W)),
        "nc4": np.mean(nearest != WORLD.train.predicted),
    }
    assert collapse(list(WORLD.train.out.chunks(70)), WORLD.train.out.head) == pytest.approx(expected, rel=1e-5)
    assert collapse([WORLD.train.out[torch.tensor(y != 1)]], WORLD.train.out.head) == {}
    far = WORLD.test.f.mean(0)
    cosines = [abs(m @ far) / np.linalg.norm(m) / np.linalg.norm(far) for m in means]
    assert ood_alignment(torch.tensor(means), torch.tensor(far)) == pytest.approx(np.mean(cosines))


def trained(x: Tensor, y: Tensor, seed: int, *, steps: int, noise: float = 0.0, decay: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, KNOWN))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.005, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x + noise * torch.randn(x.shape)), y).backward()
        optimizer.step()
    return network


def test_features_collapse_along_training() -> None:
    """Checkpoints of digits with weight decay, three seeds: the variance within falls against that between."""
    for seed in range(3):
        x, y = pictures(seed)["train"]
        with torch.random.fork_rng(devices=[]):
            found = []
            for steps in (10, 60, 300):
                out = _said(trained(x, y, seed, steps=steps, decay=0.1), x, y)
                found.append(collapse([out], out.head))
        assert found[0]["nc1"] > found[1]["nc1"] > found[2]["nc1"]
        assert found[0]["nc4"] > found[2]["nc4"]


def shifted(x: Tensor) -> list[Tensor]:
    pictures, rng = x.numpy().reshape(-1, 8, 8), np.random.default_rng(0)
    made = [ndimage.rotate(pictures, angle, (1, 2), reshape=False, order=1) for angle in (-30, 30)]
    made += [ndimage.gaussian_filter(pictures, 0.8, axes=(1, 2)), pictures + 0.25 * rng.normal(size=pictures.shape)]
    return [torch.tensor(one.reshape(-1, 64), dtype=torch.float32) for one in made]


def test_models_of_more_coverage_hold_up_better_under_shift() -> None:
    """NAC-ME over twelve models of digits: recipes of noise, decay and length; rotated, blurred, noisy digits.

    Measured over twenty such models: Spearman's rho .64.
    """
    sets = pictures(0)
    (x, y), (tx, ty) = sets["train"], sets["test"]
    recipes = [
        {"steps": 150},
        {"steps": 30},
        {"steps": 300},
        {"steps": 150, "noise": 0.2},
        {"steps": 150, "noise": 0.4},
    ]
    recipes += [{"steps": 150, "noise": 0.1}]
    coverage, held = [], []
    with torch.random.fork_rng(devices=[]):
        for seed in range(2):
            for recipe in recipes:
                network = trained(x, y, seed, **recipe)  # type: ignore[arg-type]  # numbers by name
                out = _said(network, tx, ty)
                coverage.append(total_coverage([out], out.head))
                held.append(np.mean([_right(_said(network, one, ty)) for one in shifted(tx)]))
    assert spearmanr(coverage, held).statistic > 0


def _right(out: Outputs) -> float:
    return float((out.logits.argmax(1) == out.labels).double().mean())


def test_the_analysis_gives_the_correlation_of_the_rows() -> None:
    results = Results.of(rows())
    found = create("analyses", "coverage_of_models").of(results)
    table = found.frame().group_by("strategy").agg(pl.col("coverage", "shifted").mean())
    rho = spearmanr(table["coverage"], table["shifted"]).statistic
    assert f"Spearman's rho of coverage with accuracy under shift is {rho:.2f}" in found.sentences()[0]

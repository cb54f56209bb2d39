"""Small networks trained on the digits 0 to 6: what they say of known, held-out, shuffled and noise pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.types import Head, Outputs

KNOWN = 7
SEEDS = range(5)


@cache
def outputs(seed: int) -> dict[str, Outputs]:
    """Outputs of the network of a seed by set: train, val, test, held-out, shuffled, noise."""
    sets = pictures(seed)
    network = _trained(*sets["train"], seed)
    return {name: _said(network, x, y) for name, (x, y) in sets.items()}


def fit_data(seed: int) -> FitData:
    known = outputs(seed)
    return FitData.of(known["train"], known["val"])


def auroc(detector: Detector, far: str, seed: int) -> float:
    """AUROC of the known test digits against another set."""
    detector = detector.clipped(fit_data(seed))
    state = detector.fit(fit_data(seed))
    ours, theirs = (detector.score(outputs(seed)[name], state).numpy() for name in ("test", far))
    return Auroc().of(IdScores(ours).against(theirs)).value


def aurocs(detector: Detector, far: str) -> list[float]:
    """One AUROC for each seed."""
    return [auroc(detector, far, seed) for seed in SEEDS]


def pictures(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    digits, rng = load_digits(), np.random.default_rng(seed)
    x, y = digits.data / 16, digits.target
    known = rng.permutation(np.flatnonzero(y < KNOWN))
    train, val, test = np.split(known, [len(known) // 2, 3 * len(known) // 4])
    unknown = np.flatnonzero(y >= KNOWN)
    sets = {"train": (x[train], y[train]), "val": (x[val], y[val]), "test": (x[test], y[test])}
    sets["held-out"] = (x[unknown], 0 * y[unknown])
    sets["shuffled"] = (rng.permuted(x[test], axis=1), y[test])
    sets["noise"] = (rng.random(x[test].shape), y[test])
    return {name: (torch.tensor(a, dtype=torch.float32), torch.tensor(b)) for name, (a, b) in sets.items()}


def _trained(x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, KNOWN))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    return network


@torch.no_grad()
def _said(network: nn.Sequential, x: Tensor, y: Tensor) -> Outputs:
    features, last = network[:-1](x), network[-1]
    assert isinstance(last, nn.Linear)
    return Outputs(last(features), features, y, Head(last.weight.detach(), last.bias.detach()))

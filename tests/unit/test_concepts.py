"""Concepts of two detectors on the features of a network trained on seven digits; three digits are OOD."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from outfield import FitData
from outfield.concepts import Concepts, Watched, completeness, explain, learn, separability, shapley
from outfield.errors import UserError
from outfield.registry import create
from outfield.types import Head, Outputs

DETECTORS = ("energy", "mds")
COUNT = 4


@dataclass(frozen=True)
class Features:
    head: Head
    train: Outputs
    known: Tensor
    unknown: Tensor
    auxiliary: Tensor


@cache
def features() -> Features:
    """Of 32 dimensions; digits 7 and 8 are to be detected, 9 is for learning concepts."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    x, y = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(labels[order])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body, last = nn.Sequential(nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 7)
        optimizer = torch.optim.Adam([*body.parameters(), *last.parameters()], lr=0.005)
        train, test = torch.arange(len(x)) < 1200, torch.arange(len(x)) >= 1200
        for _ in range(150):
            optimizer.zero_grad()
            rows = train & (y < 7)
            nn.functional.cross_entropy(last(body(x[rows])), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        of = body(x)
    head = Head(last.weight.detach(), last.bias.detach())
    fit = of[train & (y < 7)]
    outputs = Outputs(logits=head(fit), features=fit, labels=y[train & (y < 7)], head=head)
    return Features(head, outputs, of[test & (y < 7)], of[(y == 7) | (y == 8)], of[y == 9])


@cache
def watched(name: str) -> Watched:
    data, detector = features(), create("detectors", name)
    return Watched(detector, detector.fit(FitData.of(data.train, data.train)), data.head)


def random_concepts(seed: int) -> Concepts:
    made = torch.randn(COUNT, 32, generator=torch.Generator().manual_seed(seed))
    return Concepts(made, features().known.mean(dim=0))


@cache
def learned(name: str, detection: float, separation: float) -> Concepts:
    data = features()
    return learn(watched(name), data.train.features, data.auxiliary, COUNT, detection=detection, separation=separation)


@pytest.mark.parametrize("name", DETECTORS)
def test_concepts_of_full_rank_are_complete_and_random_ones_are_not(name: str) -> None:
    data, centre = features(), features().known.mean(dim=0)
    whole = Concepts(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)), centre)
    assert completeness(whole, watched(name), data.known, data.unknown) == pytest.approx(1, abs=2e-3)
    some = [completeness(random_concepts(s), watched(name), data.known, data.unknown) for s in range(5)]
    assert max(some) < 0.9


@pytest.mark.parametrize("name", ["mds", "rmds", "vim"])
def test_concepts_that_keep_the_detection_are_more_complete_and_separate_more(name: str) -> None:
    data = features()
    plain, ours = learned(name, 0.0, 0.0), learned(name, 1.0, 0.1)
    kept = [completeness(one, watched(name), data.known, data.unknown) for one in (plain, ours)]
    apart = [separability(one, data.known, data.unknown) for one in (plain, ours)]
    assert kept[1] >= kept[0] + 0.3, kept
    assert apart[1] >= apart[0] + 0.05, apart


@pytest.mark.parametrize("name", DETECTORS)
def test_shapley_values_sum_to_the_total(name: str) -> None:
    data, concepts = features(), learned(name, 1.0, 0.1)
    values = shapley(concepts, watched(name), data.known, data.unknown)
    total = completeness(concepts, watched(name), data.known, data.unknown)
    assert values.sum() == pytest.approx(total, abs=1e-9)


def test_separability_is_the_trace_of_the_scatter_ratio() -> None:
    rng = np.random.default_rng(0)
    known, unknown = rng.normal(0, 1, (60, 3)), rng.normal(0.5, 2, (40, 3))
    both, within = (
        np.concatenate([known, unknown]),
        (60 * np.cov(known.T, ddof=0) + 40 * np.cov(unknown.T, ddof=0)) / 100,
    )
    between = np.cov(both.T, ddof=0) - within
    found = separability(Concepts(torch.eye(3).double(), torch.zeros(3).double()), *map(torch.tensor, (known, unknown)))
    assert found == pytest.approx(np.trace(np.linalg.solve(within, between)), rel=1e-4)


def test_an_explanation_says_what_the_concepts_hold() -> None:
    data = features()
    found = explain(watched("mds"), data.known, data.unknown, count=3)
    assert found.frame().height == 3
    assert f"{found.completeness:.0%}" in found.sentences()[0]


def test_what_cannot_be_explained_is_said() -> None:
    data = features()
    with pytest.raises(UserError, match="Expected from 1 to 32 concepts"):
        learn(watched("mds"), data.known, data.unknown, 40)
    with pytest.raises(UserError, match="Expected a detector whose AUROC is above"):
        completeness(random_concepts(0), watched("mds"), data.unknown, data.known)
    with pytest.raises(UserError, match="Expected at most 10 concepts"):
        shapley(Concepts(torch.eye(32), torch.zeros(32)), watched("mds"), data.known, data.unknown)

"""AUTC: identities, order of separations, and what it does not keep."""

from __future__ import annotations

import numpy as np
import pytest

from outfield import registry

AUTC, AUROC = registry.create("metrics", "autc"), registry.create("metrics", "auroc")


def test_perfect_scores_are_0_and_constant_ones_one_half() -> None:
    assert AUTC(np.zeros(5), np.ones(7)).value == 0 and AUTC(np.full(5, 3.0), np.full(7, 3.0)).value == 0.5


def test_it_is_the_areas_under_fpr_and_fnr() -> None:
    rng = np.random.default_rng(0)
    known, ood = rng.normal(size=300), rng.normal(1, 1, 200)
    both = np.concatenate([known, ood])
    known_to, ood_to = ((v - both.min()) / np.ptp(both) for v in (known, ood))
    edges = np.concatenate(([0.0], np.sort(np.concatenate([known_to, ood_to])), [1.0]))
    middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    fpr, fnr = ((known_to[:, None] > middles).mean(axis=0), (ood_to[:, None] <= middles).mean(axis=0))
    found = AUTC(known, ood).value
    assert found == pytest.approx((fpr @ widths + fnr @ widths) / 2, abs=1e-9)
    assert found == pytest.approx((known_to.mean() + 1 - ood_to.mean()) / 2, abs=1e-9)


def test_of_two_perfect_rankings_the_wider_gap_is_better() -> None:
    near, wide = ([0.0, 0.5], [0.6, 1.0]), ([0.0, 0.1], [0.9, 1.0])
    assert AUROC(*near).value == AUROC(*wide).value == 1.0
    assert AUTC(*wide).value < AUTC(*near).value


def test_it_depends_on_the_scale_of_the_score() -> None:
    rng = np.random.default_rng(1)
    known, ood = rng.normal(size=50), rng.normal(1, 1, 50)
    assert AUROC(np.exp(known), np.exp(ood)).value == AUROC(known, ood).value
    assert abs(AUTC(np.exp(3 * known), np.exp(3 * ood)).value - AUTC(known, ood).value) > 0.02

"""SCOD: the plug-in rule on Gaussians whose best rejector is known, Chow's rule, and the joint risk of every pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.detectors.msp import MSP
from outfield.detectors.scod import SCOD
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.metrics.aurc import Aurc
from outfield.metrics.joint_aurc import JointAurc
from outfield.types import Outputs, State
from tests.support import rows_of, run_small

KNOWN, UNKNOWN = (-1.5, 1.5), 4.5
"""Means of two classes and of the OOD inputs, on a line, all with variance one."""
X = np.linspace(-12, 16, 28_001)
STEP = X[1] - X[0]
P_IN = 0.5 * (norm.pdf(X, KNOWN[0]) + norm.pdf(X, KNOWN[1]))
P_OUT = norm.pdf(X, UNKNOWN)
ERROR = 0.5 * np.minimum(norm.pdf(X, KNOWN[0]), norm.pdf(X, KNOWN[1])) / P_IN
COSTS = list(product((0.05, 0.1, 0.15), (0.2, 0.35, 0.5)))


@dataclass(frozen=True)
class First(Detector):
    """The first feature as the score."""

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"

    def score(self, out: Outputs, state: State) -> Tensor:
        return out.features[:, 0]


def risk(kept: np.ndarray, c_in: float, c_out: float) -> float:
    """Of a rejector, by integration."""
    inside = (1 - c_in - c_out) * ERROR * P_IN * kept + c_in * P_IN * ~kept
    return float((inside + c_out * P_OUT * kept).sum() * STEP)


def best(score: np.ndarray, c_in: float, c_out: float) -> float:
    """The least risk of a rejector that has one score and the best of many thresholds."""
    return min(risk(score <= t, c_in, c_out) for t in np.quantile(score, np.linspace(0, 1, 400)))


def learned() -> Outputs:
    """What a classifier and two Gaussians fitted on samples say on the line: logits and the logarithm of the ratio."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=3000)
    x = rng.normal(np.asarray(KNOWN)[y])
    unknown = rng.normal(UNKNOWN, size=1500)
    classifier = LinearDiscriminantAnalysis().fit(x[:, None], y)
    parts = [norm.pdf(X, x[y == c].mean(), x[y == c].std()) * (y == c).mean() for c in (0, 1)]
    ratio = norm.logpdf(X, unknown.mean(), unknown.std()) - np.log(sum(parts))
    logits = torch.from_numpy(classifier.predict_log_proba(X[:, None]))
    return Outputs(logits=logits, features=torch.from_numpy(ratio)[:, None])


@pytest.mark.parametrize(("c_in", "c_out"), COSTS)
def test_the_plug_in_rule_comes_near_the_best_and_beats_either_score_alone(c_in: float, c_out: float) -> None:
    scod = SCOD(ood=First(), link="log_ratio", scale=1.0, c_in=c_in, c_out=c_out)
    found = risk(scod.score(learned(), {}).numpy() <= 0, c_in, c_out)
    keep, reject = (1 - c_in - c_out) * ERROR * P_IN + c_out * P_OUT, c_in * P_IN
    bayes = float(np.minimum(keep, reject).sum() * STEP)
    assert bayes <= found <= 1.02 * bayes
    assert found < min(best(ERROR, c_in, c_out), best(P_OUT / P_IN, c_in, c_out))


def test_without_a_cost_of_ood_it_is_chows_rule() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 4)) * 2)
    out = Outputs(logits=logits, features=torch.ones(500, 1))
    error = MSP().score(out, {})
    for c_in in (0.05, 0.2, 0.4):
        scod = SCOD(c_in=c_in, c_out=0.0)
        state = scod.fit(FitData.of(out, out))
        assert torch.equal(scod.score(out, state) > 0, error > c_in / (1 - c_in))
        assert torch.equal(scod.score(out, state).argsort(), error.argsort()), "ranked as the confidence ranks"


def test_the_scale_makes_the_ratio_one_on_average() -> None:
    rng = np.random.default_rng(1)
    out = Outputs(logits=torch.zeros(300, 2), features=torch.from_numpy(rng.normal(5, 1, (300, 1))))
    for link in ("log_ratio", "ratio"):
        scod = SCOD(ood=First(), link=link, c_in=0.0, c_out=1.0)  # type: ignore[arg-type]
        assert scod.score(out, scod.fit(FitData.of(out, out))).mean().item() == pytest.approx(1)


def test_what_a_link_cannot_take_is_refused() -> None:
    out = Outputs(logits=torch.zeros(3, 2), features=torch.tensor([[-1.0], [2.0], [1.0]]))
    with pytest.raises(UserError, match="above zero for the link 'ratio', but got -1"):
        SCOD(ood=First(), link="ratio").fit(FitData.of(out, out))
    with pytest.raises(UserError, match="at most 1"):
        SCOD(c_in=0.7, c_out=0.5)
    with pytest.raises(UserError, match="but got 'odds'"):
        SCOD(link="odds")  # type: ignore[arg-type]


def test_the_joint_area_is_the_mean_of_the_joint_risk() -> None:
    rng = np.random.default_rng(2)
    known, correct, unknown = rng.normal(size=40), rng.random(40) < 0.7, rng.normal(1, 1, 25)
    order = np.argsort(np.concatenate([known, unknown]))
    cost = np.concatenate([0.25 * ~correct, np.full(25, 0.75)])[order]
    expected = np.mean([cost[:k].sum() / k for k in range(1, 66)])
    assert JointAurc()(known, correct, unknown).value == pytest.approx(expected)
    assert JointAurc(c_fn=0)(known, correct, [99.0]).value == pytest.approx(
        (40 * Aurc()(known, correct).value + (~correct).sum() / 41) / 41
    )
    weights = rng.integers(1, 4, 40)
    again = (np.repeat(known, weights), np.repeat(correct, weights), unknown)
    weighted = JointAurc()(known, correct, unknown, weights=weights)
    assert weighted.value == pytest.approx(JointAurc()(*again).value)


def test_the_joint_area_takes_ties_in_every_order() -> None:
    orders = [JointAurc()([0.0, t], [True, False], [1 - t]).value for t in (0.4, 0.6)]
    assert JointAurc()([0.0, 0.5], [True, False], [0.5]).value == pytest.approx(np.mean(orders))


PAIRS = list(product(("msp", "doctor"), (("feature_norm", "reciprocal"), ("energy", "log_ratio"), ("knn", "ratio"))))


def test_a_study_reports_the_joint_area_of_every_pair(tmp_path: Path) -> None:
    wrapped = [{"name": "scod", "confidence": one, "ood": ood, "link": link} for one, (ood, link) in PAIRS]
    run_small(tmp_path, models=[{"strategy": "baseline", "seeds": [0]}], detectors=["msp", *wrapped])
    rows = rows_of(tmp_path / "results").filter(pl.col("metric") == "joint_aurc", pl.col("part").is_null())
    found = rows.group_by("detector", "params").len()
    assert found.filter(pl.col("detector") == "scod").height == len(PAIRS)
    assert all(0 < value < 1 and math.isfinite(value) for value in rows["value"])

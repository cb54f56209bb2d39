"""Item response models against simulated truth, and the analysis on answers that a study kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from outfield.errors import UserError
from outfield.registry import create
from outfield.reports.results import Results
from outfield.stats.item_response import KINDS, ItemResponse, held_out, item_response
from outfield.testing import simulated

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    answers: Floats
    topic: NDArray[np.int64]
    directions: Floats
    norms: Floats


def truth(seed: int, models: int = 40, items: int = 500, topics: int = 4, spread: float = 1.5) -> Truth:
    """Models that are good at topics of their own, and items whose norms make them hard."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(2, spread, (models, topics))
    topic = rng.integers(topics, size=items)
    directions = np.eye(topics)[topic] + 0.2 * np.abs(rng.normal(size=(items, topics)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    norms = rng.gamma(4, 0.5, items)
    right = rng.random((models, items)) < expit(theta @ directions.T - norms)
    return Truth(right.astype(float), topic, directions, norms)


def test_hidden_cells_are_predicted_better_by_several_abilities() -> None:
    """Held-out AUROC of a tenth of the cells, less that of 1-PL: the mean of three simulations, and each."""
    gains = []
    for seed in range(3):
        known = truth(seed)
        shown, hidden = held_out(known.answers, 0.1, seed)
        right = known.answers[hidden]
        one, several = (roc_auc_score(right, item_response(shown, k).probability()[hidden]) for k in ("1pl", "je"))
        gains.append(several - one)
    assert np.mean(gains) >= 0.03 and min(gains) > 0.01, gains


def test_norms_order_items_as_their_error_rates_do() -> None:
    known = truth(0)
    fit = item_response(known.answers, "je")
    assert spearmanr(fit.difficulty, 1 - known.answers.mean(axis=0)).statistic >= 0.7
    np.testing.assert_allclose(np.linalg.norm(fit.loadings, axis=1), 1, atol=1e-9)


def test_items_that_nearly_all_models_get_right_keep_their_order() -> None:
    rows = simulated.rows(seeds=2, detectors=("msp",), shifts=())
    answers = simulated.items(rows).pivot("model", index="row", values="merit").drop("row").to_numpy().T
    assert answers.mean() > 0.9
    assert spearmanr(item_response(answers, "je").difficulty, 1 - answers.mean(axis=0)).statistic >= 0.7


def test_a_new_model_is_placed_by_fifty_answers() -> None:
    """With the items as they were, its other answers are predicted better than by one ability; mean of sixteen."""
    known, new = truth(1, models=56), 16
    rng = np.random.default_rng(0)
    found = {}
    for kind in ("1pl", "je"):
        fit = item_response(known.answers[new:], kind)
        aucs = []
        for row in known.answers[:new]:
            asked = np.isin(np.arange(row.size), rng.permutation(row.size)[:50])
            theta = fit.ability(np.where(asked, row, np.nan))
            aucs.append(roc_auc_score(row[~asked], fit.probability(theta)[0, ~asked]))
        found[kind] = float(np.mean(aucs))
    assert found["je"] >= found["1pl"] + 0.01


def test_items_of_a_topic_not_asked_are_predicted_the_better_the_nearer_their_direction() -> None:
    """New models answer topics 0 to 2; the Brier score of topic 3 falls as its items lean to what was asked."""
    rng = np.random.default_rng(3)
    known = truth(2, models=120, items=400)
    theta, lean = rng.normal(2, 2.0, (60, 4)), np.linspace(0, 1, 80)
    directions = np.column_stack([lean, 0 * lean, 0 * lean, 1.2 - lean])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    asked = known.topic < 3
    items = ItemResponse("je", np.array([[0.0] * 4, [4.0] * 4]), known.directions[asked], known.norms[asked])
    answers = (rng.random((60, asked.sum())) < items.probability(theta)).astype(float)
    later = ItemResponse("je", theta, directions, np.full(80, 2.0))
    right = rng.random((60, 80)) < later.probability()
    error = ((later.probability(items.ability(answers)) - right) ** 2).mean(axis=0)
    nearest = (directions @ known.directions[asked].T).max(axis=1)
    assert spearmanr(nearest, error).statistic <= -0.7


@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_at_a_minimum_of_the_penalised_cross_entropy(kind: str) -> None:
    """The loss written out, with JE-IRT's link as the paper has it; no small step lowers it."""
    answers, ridge = truth(4, models=12, items=25).answers, 0.3
    fit = item_response(answers, kind, dimensions=2, ridge=ridge)  # type: ignore[arg-type]

    def loss(theta: Floats, q: Floats) -> float:
        if kind == "1pl":
            logit, prior = theta - q[:, 0], (theta**2).sum() + (q**2).sum()
        elif kind == "2pl":
            logit, prior = theta * q[:, 0] - q[:, 1], (theta**2).sum() + ((q - [1, 0]) ** 2).sum()
        else:
            norm, mean = np.sqrt((q * q).sum(axis=1)), theta.mean(axis=0)
            logit = theta @ (q / norm[:, None]).T - norm
            prior = 2 * ((theta - mean) ** 2).sum() + 0.1 * len(theta) * (mean**2).sum() + len(q) * norm.var()
        return float(np.log1p(np.exp(-np.where(answers == 1, logit, -logit))).sum() + ridge / 2 * prior)

    q = {
        "1pl": fit.difficulty[:, None],
        "2pl": np.column_stack([fit.loadings, fit.difficulty]),
        "je": fit.loadings * fit.difficulty[:, None],
    }[kind]
    scale = np.linalg.norm(q, axis=1, keepdims=True) if kind == "je" else 1
    at, rng = loss(fit.abilities, q), np.random.default_rng(0)
    steps = [(rng.normal(0, 0.03, fit.abilities.shape), rng.normal(0, 0.03, q.shape) * scale) for _ in range(40)]
    assert all(loss(fit.abilities + a, q + b) > at for a, b in steps)
    small = [(0.001 * a, 0.001 * b) for a, b in steps]
    slopes = [loss(fit.abilities + a, q + b) - loss(fit.abilities - a, q - b) for a, b in small]
    assert np.abs(slopes).max() < 2e-6


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (np.ones((2, 9)), "Expected the answers of at least 3 models to 3 items"),
        (np.ones((4, 9)), "Expected right and wrong answers, but got one of these alone"),
        (np.full((4, 9), 0.5), "Expected answers that are right .1. or wrong .0., but got 0.5"),
    ],
)
def test_what_cannot_be_fitted_is_said(answers: Floats, says: str) -> None:
    with pytest.raises(UserError, match=says):
        item_response(answers)


def results_of(answers: Floats) -> Results:
    """A simulated study whose models' answers to the ID test set are these."""
    rows = simulated.rows(seeds=2, detectors=("msp",), shifts=())
    names, (models, items) = rows["model"].unique().sort().to_list(), answers.shape
    at = {"model": np.repeat(names, items), "set": "test", "row": np.tile(np.arange(items), models)}
    return Results.of(rows, pl.DataFrame(at | {"merit": answers.ravel()}))


def test_the_analysis_tells_abilities_of_several_kinds_from_one() -> None:
    rng = np.random.default_rng(0)
    level = expit(rng.normal(0, 1, (24, 1)) - rng.normal(0, 1.5, (1, 300)))
    cases = [truth(0, 24, 300, spread=2.5).answers, (rng.random((24, 300)) < level) * 1.0]
    for answers, in_kind in zip(cases, (True, False), strict=True):
        found = create("analyses", "item_response").of(results_of(answers))
        assert ("not only in how much" in found.sentences()[0]) is in_kind, found.sentences()
        assert found.frame().height == 300

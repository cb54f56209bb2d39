"""What is said of a model that says nothing of its data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from outfield.card.hardest import Judged, hardest
from outfield.card.recommendation import choose
from outfield.data.member import Counted, Member
from outfield.features.extract import Values
from outfield.reports.findings.chance import chance, no_detector
from outfield.store.subject import Subject
from outfield.studies.bench import _described, _of_answers
from outfield.tasks.classify import Classify
from outfield.types import Estimate

LABELS = np.random.default_rng(0).permutation(np.arange(240) % 3)


def codes(predicted: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, str]:
    """The findings about a model that predicts these classes, by code."""
    values = Values({"logits": np.log(0.1 + 0.7 * np.eye(classes)[predicted]), "labels": labels})
    merits = (predicted == labels).astype(float)
    own = dict(_of_answers(Classify(), values, merits)) | {k: Estimate(v) for k, v in _described(values).items()}
    test, net = Member("test", "test", Counted(len(labels))), Subject("study", "net", "net")
    rows = [net.row(test, name, found, detector=None) for name, found in own.items()]
    found = pl.DataFrame(rows, schema_overrides={"detector": pl.String})
    return {one.code: one.sentence for one in chance(found.with_columns(pl.col("low", "high").fill_nan(None)))}


@pytest.mark.parametrize(
    ("predicted", "labels", "classes", "code", "text"),
    [
        (np.arange(240) // 80, LABELS, 3, "OF016", "guessing among 3 classes in 33.3%"),
        (LABELS * 0, LABELS, 3, "OF017", "predicts one class for every ID input"),
        ((LABELS + 1) % 3, LABELS, 3, "OF018", "in 0.0% [0.0%, 1.6%] of the ID inputs"),
        (LABELS + 500, LABELS, 1000, "OF018", "The head has 1,000 classes, the labels 3."),
        (
            np.where(np.arange(240) % 9, 0, 1),
            np.where(np.arange(240) % 10, 0, 1),
            2,
            "OF016",
            "most frequent class in 90",
        ),
    ],
)
def test_what_is_at_or_below_chance_is_said(predicted, labels, classes, code, text):
    found = codes(predicted, labels, classes)
    assert list(found) == [code]
    assert text in found[code]


def test_a_model_above_chance_is_left_alone():
    assert codes(LABELS, LABELS, 3) == {}
    rare = np.where(np.arange(400) % 20, 0, 1)
    better_on_the_rare = np.where(np.arange(400) % 15, rare, 1)
    assert codes(better_on_the_rare, rare, 2) == {}, "below the majority's share, but far above chance class by class"


@pytest.mark.parametrize(("low", "said"), [(0.49, True), (0.51, False)])
def test_detectors_that_tell_nothing_are_told(low, said):
    rows = [
        {"model": "net", "set_kind": "ood", "role": "test", "metric": "auroc", "part": None, "value": 0.53, "low": end}
        for end in (0.4, low)
    ]
    found = list(no_detector(pl.DataFrame(rows, schema_overrides={"part": pl.String})))
    assert [one.code for one in found] == (["OF019"] if said else [])


def test_a_card_names_all_detectors_that_tie():
    rng = np.random.default_rng(0)
    known, near, far = rng.normal(size=60), rng.normal(1, 1, 50), rng.normal(2, 1, 50)
    one = {"test": known, "near": near, "far": far}
    scores = {
        "zeta": one,
        "alpha": {name: 3 * values for name, values in one.items()},
        "poor": {n: -v for n, v in one.items()},
    }
    found = choose(scores, {"near": "near", "far": "far"})
    assert (found.best, found.tied) == ("alpha", ("alpha", "zeta"))
    assert found.table["detector"].to_list() == ["alpha", "zeta", "poor"]
    assert found.table["probability"].to_list() == pytest.approx([0.5, 0.5, 0.0])
    assert {name for name, _ in found.without.values()} == {"alpha or zeta"}


@pytest.mark.parametrize("with_logits", [True, False])
def test_hardest_inputs_that_tie_are_not_picked_by_row_order(with_logits):
    n = 40
    logits = np.zeros((n, 2), np.float32)
    logits[[31, 7], 0] = 9, 8  # the lowest energies
    sets = [
        Judged(name, ood, np.zeros(n), np.arange(n), None, logits if with_logits else None)
        for name, ood in (("far", True), ("test", False))
    ]
    group = hardest(sets, None, count=2)[0]
    assert "40 inputs tie at the score 0" in group.note
    rows = [one.row for one in group.inputs]
    assert rows == [31, 7] if with_logits else rows != [0, 1]

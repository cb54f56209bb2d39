"""Where a best, a worst or a hardest is named, all that tie are named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from outfield import stats
from outfield.card.card import Card
from outfield.card.hardest import Judged, hardest
from outfield.card.recommendation import choose
from outfield.dashboard.query_parameters import Samples
from outfield.dashboard.samples import _order, _tie
from outfield.dashboard.scores import _joined
from outfield.dashboard.selection import Selection
from outfield.reports import trajectory_page as trajectory
from outfield.reports.analysis import analyse
from outfield.reports.comparison.base import _counted
from outfield.reports.findings import findings
from outfield.store.performance import of_metric


def test_the_weakest_sets_of_a_detector() -> None:
    rng = np.random.default_rng(0)
    known, near = rng.normal(size=60), rng.normal(1, 1, 50)
    one = {"test": known, "far": near + 3, "near": near, "same": near[::-1].copy()}
    found = choose(
        {"msp": one, "mds": {n: v - near.mean() for n, v in one.items()}}, dict.fromkeys(one.keys() - {"test"}, "")
    )
    for row in found.table.iter_rows(named=True):
        assert set(row["weakest"].split(" and ")) == {"near", "same"}


@pytest.mark.parametrize(
    ("severities", "text"),
    [
        ((5, 5), "in 40.0% under the hardest shifts (blur, severity 5 and gaussian noise, severity 5)"),
        ((3, 5), "in 40.0% under the hardest shift (gaussian noise, severity 5)"),
    ],
)
def test_the_hardest_shifts_of_a_card(severities: tuple[int, int], text: str) -> None:
    shifted = pl.DataFrame(
        {
            "shift": ["blur", "gaussian_noise"],
            "severity": severities,
            "value": [0.4 if severities[0] == 5 else 0.6, 0.4],
        }
    )
    card = SimpleNamespace(
        estimate=lambda name: {"value": 0.9, "low": 0.8, "high": 0.95},
        _calibration=lambda: "",
        results=SimpleNamespace(metric=lambda *which: shifted, measure=of_metric("accuracy"), performance="accuracy"),
    )
    assert text in Card._performance(card)  # type: ignore[arg-type]  # as much of a card as it reads


def test_the_sets_that_a_card_accepts_most_of() -> None:
    weakest = pl.DataFrame(
        {"set": ["far", "near", "far"], "part": [None, None, "a"], "accepted": [0.8, 0.8, 0.6], "seen_by": ["msp"] * 3,
         "accepted_then": [0.1, 0.2, 0.3]}
    )  # fmt: skip
    card = SimpleNamespace(weakest=weakest, blind_spots=weakest, recommended="knn", blind_classes=pl.DataFrame())
    assert Card._blindness(card).startswith("3 blind spots: of far and near knn accepts 80% each as ID")  # type: ignore[arg-type]
    card.weakest, card.blind_spots = weakest.with_columns(accepted=pl.lit(0.0)), weakest.head(0)
    assert "at most 0% of any as ID (far, near and far (a))" in Card._blindness(card)  # type: ignore[arg-type]


def test_the_detectors_that_changed_most_and_least() -> None:
    table = pl.DataFrame(
        {"name": list("abcd"), "value": [0.2, 0.2 - 1e-16, 0.0, -0.1], "low": [0.1, 0.1, -0.1, -0.2],
         "high": [0.3, 0.3, 0.1, 0.0], "verdict": ["better", "better", "not told apart", "not told apart"]}
    )  # fmt: skip
    assert _counted(table).endswith("at the ends are a and b (+0.200 each) and d (-0.100 [-0.200, +0.000]).")
    assert _counted(table.head(2)).endswith("all differ alike: a and b (+0.200 each).")


def test_the_strongest_pairs_of_tracked_runs() -> None:
    pairs = pl.DataFrame(
        {"model": ["m"] * 3, "smoother": ["spline"] * 3, "first": list("aab"), "second": list("bcc"),
         "value": [0.5, -0.5, 0.1], "low": [0.1, -0.8, None], "high": [0.8, -0.1, None], "plain": [0.6, 0.2, 0.3],
         "q": [None] * 3, "p_sign": [None] * 3}, schema_overrides={"q": pl.Float64, "p_sign": pl.Float64},
    )  # fmt: skip
    runs = SimpleNamespace(pairs=pairs, models=["m"], performance=of_metric("accuracy"), smoother="spline")
    said = trajectory.sentences(runs)[2]  # type: ignore[arg-type]
    assert said.startswith("The strongest are a with b: +0.50 [0.10, 0.80], plain +0.60 and a with c: -0.50")
    runs.pairs = pairs[[0, 2]]
    one = trajectory.sentences(runs)[2]  # type: ignore[arg-type]
    assert one == "The strongest is a with b: +0.50 [0.10, 0.80], plain +0.60."


def test_mistakes_that_are_surer_than_a_probability_can_say() -> None:
    logits = np.zeros((6, 3), np.float32)
    logits[:, 1] = [100, 300, 200, 400, 150, 1]
    data = SimpleNamespace(labels=np.array([0, 0, 0, 1, 0, 0]), read=lambda rows: ["text"])
    one = Judged("test", False, np.arange(6.0), np.arange(6), data, logits)  # type: ignore[arg-type]
    group = next(g for g in hardest([one], None, count=3) if "misjudged" in g.title)
    assert [each.row for each in group.inputs] == [1, 2, 4] and group.note == ""
    logits[:, 1] = 100
    group = next(g for g in hardest([one], None, count=2) if "misjudged" in g.title)
    assert group.note == "5 inputs tie at the log odds 99.3; they are put in order at random."


def test_samples_of_the_dashboard_that_tie() -> None:
    places = pl.DataFrame({"set": ["far"] * 40 + ["test"] * 40, "part": [None] * 80, "row": [*range(40), *range(40)]})
    places = places.with_columns(pl.col("part").cast(pl.String))
    second = np.arange(80.0)
    second[[31, 7]] = 300, 200
    scores = {"gram": np.zeros(80), "msp": second}
    found = _joined({k: places.with_columns(score=pl.Series(v, dtype=pl.Float32)) for k, v in scores.items()}, ())
    chosen, asked = Selection(set="far", detector="gram"), Samples(sort="score", descending=False)
    order = _order(found, chosen, asked)
    assert sorted(order) == [*range(40)] and order[:2].tolist() != [0, 1] and set(order[-2:]) == {31, 7}
    said = _tie(found, chosen, asked, order, order[:5])
    assert said is not None and said.startswith("40 samples tie at the score 0; they are put in order by their mean")
    other = Selection(set="far", detector="msp")
    order = _order(found, other, asked)
    assert order[:2].tolist() == [0, 1] and _tie(found, other, asked, order, order[:5]) is None


def test_the_lowest_aurocs() -> None:
    table = pl.DataFrame(
        {"model": list("abcdef"), "acc": [0.5, 0.6, 0.7, 0.72, 0.8, 0.9], "auroc far": [0.6, 0.4, 0.7, 0.4, 0.45, 0.9]}
    )
    said = [one.sentence for one in findings(analyse(table, id="acc", ood=["auroc far"])) if one.code == "OF007"]
    assert "3 AUROCs are below .5 (lowest: auroc far, b and auroc far, d, 0.400)" in said[0]


def test_the_worst_sets_of_the_safest_choice() -> None:
    values = np.tile([[[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.8, 0.9, 0.1]]], (6, 1, 1))
    found = stats.recommend(values, detectors=list("abc"), sets=list("xyz"), draws=20)
    assert found.worst_set == {"a": "z", "b": "x and y", "c": "x, y and z"}


def test_families_that_carry_a_trend_stand_in_one_finding() -> None:
    found = [one.sentence for one in findings(analyse(example="krumpl2026")) if one.code == "OF002"]
    with_auroc = [text for text in found if text.startswith("acc with auroc")]
    assert len(with_auroc) == 1
    assert "-0.33" in with_auroc[0] and "without Adversarial Training" in with_auroc[0]
    assert "+0.46 [+0.18, +0.67] without Improved Training" in with_auroc[0]

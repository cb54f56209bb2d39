"""Two evaluated models are compared on the same inputs, paired; what cannot be compared says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from outfield.card.card import Card
from outfield.card.run import evaluate
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.metrics._ranking import Placements
from outfield.reports.comparison import UNPAIRED, compare
from outfield.reports.comparison_page import html

DRAW = np.random.default_rng(0)
LABELS = np.arange(200) % 2
ROWS = (DRAW.normal(size=(200, 3)) + LABELS[:, None]).astype(np.float32)
NEAR, FAR = ((DRAW.normal(size=(70, 3)) + move).astype(np.float32) for move in (2, 5))


def card(model: Any, folder: Path, **options: Any) -> Card:
    given: dict[str, Any] = {
        "id_test": (ROWS, LABELS),
        "ood": {"near": {"close": NEAR}, "far": {"away": FAR}},
        "detectors": ["msp", "knn"],
        "cache": Cache(folder),
    }
    return evaluate(model, **(given | options))


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, Card]:
    folder = tmp_path_factory.mktemp("cache")
    regression, bayes = LogisticRegression().fit(ROWS, LABELS), GaussianNB().fit(ROWS, LABELS)
    return card(regression, folder), card(bayes, folder)


def test_two_cards_are_paired_by_input(cards: tuple[Card, Card]) -> None:
    found = compare(*cards)
    assert found.names == ("LogisticRegression", "GaussianNB") and found.level == "inputs"
    row = found.cells.filter(pl.col("detector") == "msp", pl.col("ood") == "away").row(0, named=True)
    placed = []
    for one in cards:
        table = one.scores["msp"]
        known, far = (table.filter(pl.col("set") == name)["score"].to_numpy() for name in ("test", "away"))
        placed.append(Placements.of(known, far))
        assert placed[-1].auroc == pytest.approx(one.estimate("auroc", "msp", "away")["value"])
    first, second = placed
    assert (row["first"], row["second"]) == pytest.approx((first.auroc, second.auroc))
    variance = sum(np.var(b - a, ddof=1) / len(a) for a, b in ((first.id, second.id), (first.ood, second.ood)))
    assert row["high"] - row["low"] == pytest.approx(2 * 1.959964 * np.sqrt(variance), rel=1e-5)
    assert found.overview["name"].to_list() == ["accuracy", "ECE", "mean AUROC", "mean FPR at 95% ID"]
    assert "paired difference" in found.sentences[0] and found.notes == ()
    assert found.sentences[0].split(":")[0] in html(found)


def test_a_card_against_itself_has_no_difference(cards: tuple[Card, Card]) -> None:
    found = compare(cards[0], cards[0])
    assert found.names == ("LogisticRegression (first)", "LogisticRegression (second)")
    assert set(found.overview["value"]) == {0.0} and found.cells["high"].abs().max() == 0


def test_sets_that_differ_are_left_out_or_told(cards: tuple[Card, Card], tmp_path: Path) -> None:
    model = GaussianNB().fit(ROWS, LABELS)
    other = card(model, tmp_path, ood={"near": {"close": NEAR + 1}, "far": {"away": FAR}})
    assert compare(cards[0], other).cells["ood"].unique().to_list() == ["away"]
    with pytest.raises(UserError, match="hold other inputs"):
        compare(cards[0], card(model, tmp_path, ood={"near": {"close": NEAR + 1}}))
    with pytest.raises(UserError, match="none has the same name: close, away and mine"):
        compare(cards[0], card(model, tmp_path, ood={"near": {"mine": NEAR}}))
    with pytest.raises(UserError, match="same ID test inputs"):
        compare(cards[0], card(model, tmp_path, id_test=(ROWS + 1, LABELS)))


def test_labels_in_another_order_are_the_same_inputs(cards: tuple[Card, Card], tmp_path: Path) -> None:
    names = np.array(["yes", "no"])[LABELS]
    other = card(GaussianNB().fit(ROWS, names), tmp_path, id_test=(ROWS, names))
    ids = [one.scores["msp"].filter(pl.col("set") == "test")["row"].to_list() for one in (cards[0], other)]
    assert ids[0] == ids[1] and compare(cards[1], other).scored


def test_rows_alone_are_not_paired_and_say_so(cards: tuple[Card, Card]) -> None:
    bare = [Card(one.model, one.rows, one.choice) for one in cards]
    found = compare(*bare)
    assert found.notes == (UNPAIRED,) and "not paired" in html(found)
    assert set(found.overview["verdict"]) == {"not told apart"} and found.overview["n"].min() > 0
    wide, narrow = (one.overview.filter(name="mean AUROC").row(0, named=True) for one in (found, compare(*cards)))
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"] > 0


@pytest.mark.parametrize("other", [None, "results/none", pl.DataFrame({"model": ["a"], "value": [1.0]}), 3])
def test_a_card_is_compared_with_a_card(cards: tuple[Card, Card], other: Any) -> None:
    with pytest.raises(UserError, match="Expected two cards, but got a card and"):
        compare(cards[0], other)


def test_what_is_no_study_is_told(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}")
    (tmp_path / "card.html").write_text("")
    for wrong, message in ((3, "got a int"), (tmp_path / "card.json", "identical"), (tmp_path / "card.html", "a page")):
        with pytest.raises(UserError, match=message):
            compare(wrong, wrong)  # type: ignore[arg-type]

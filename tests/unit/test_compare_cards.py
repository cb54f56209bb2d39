"""Two evaluated models are compared on the same inputs, paired; what cannot be compared says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from outfield.card.card import Card
from outfield.card.run import evaluate
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.metrics._ranking import Placements
from outfield.models.preprocess import Pictures
from outfield.reports.comparison import UNPAIRED, compare
from outfield.reports.comparison_page import html
from outfield.stats import paired_difference
from outfield.store import schema

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


def test_accuracy_of_two_cards_is_paired_and_the_flips_are_shown(cards: tuple[Card, Card]) -> None:
    found = compare(*cards)
    row = found.overview.filter(name="accuracy").row(0, named=True)
    one, other = (card.answers.sort("row")["right"].to_numpy().astype(float) for card in cards)
    expected = paired_difference(one, other)
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (expected.estimate.value, expected.estimate.low, expected.estimate.high)
    )
    assert row["n"] == len(one) and row["first"] == pytest.approx(cards[0].estimate("accuracy")["value"])
    assert len(found.flips) == (one != other).sum() > 0
    flip = found.flips[0]
    assert flip.text and flip.said[0] != flip.said[1] and flip.target in flip.said
    assert f"Better in {found.names[1]}" in html(found)


def test_pictures_that_flipped_are_shown(tmp_path: Path) -> None:
    images = DRAW.integers(0, 255, size=(90, 8, 8, 3)).astype(np.uint8)
    images[LABELS[:90] == 1, :, :, 0] //= 2
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
        given = {"id_test": (images, LABELS[:90]), "ood": {"far": 255 - images[:40]}, "detectors": ["msp"]}
        made.append(card(net, tmp_path, preprocess=Pictures(side=8, channels=3), **given))
    found = compare(*made)
    assert found.flips and all(one.picture.startswith("data:image/png") for one in found.flips[:3])
    assert found.flips[0].picture in html(found)


def test_cards_in_files_are_compared_as_far_as_they_hold(cards: tuple[Card, Card], tmp_path: Path) -> None:
    paths = [card.save(tmp_path / f"{number}.json") for number, card in enumerate(cards)]
    memory, files, mixed = compare(*cards), compare(*paths), compare(cards[0], paths[1])
    for found in (files, mixed):
        assert found.names == memory.names and found.notes == (UNPAIRED,)
        one, other = (each.overview.filter(name="accuracy").row(0) for each in (memory, found))
        assert one == other and len(found.flips) == len(memory.flips)
        assert found.overview["n"].null_count() == 0 and found.overview["low"].is_not_nan().all()
    wide, narrow = (each.overview.filter(name="mean AUROC").row(0, named=True) for each in (files, memory))
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]


def test_a_difference_is_worse_only_where_its_interval_says_so() -> None:
    """An ECE that rises by .159 within wide intervals is not told apart; outside of them it is worse."""
    common = {
        "metric": "ece",
        "role": "test",
        "set_kind": "id",
        "n_id": 60,
        "model": ["a", "b"],
        "value": [0.05, 0.209],
    }
    for ends, said in (((0.1, 0.3), "not told apart"), ((0.01, 0.02), "worse")):
        low, high = ([value + sign * end for value, end in zip((0.05, 0.209), ends, strict=True)] for sign in (-1, 1))
        rows = schema.frame(pl.DataFrame(common | {"low": low, "high": high, "study": "s"}).to_dicts())
        row = compare(rows, model="a", versus="b").overview.row(0, named=True)
        assert (row["verdict"], row["n"]) == (said, 60)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card | {"card": 7}, "got version 7"),
        (lambda card: {k: v for k, v in card.items() if k != "card"}, "does not say which inputs"),
        (lambda card: card | {"answers": {"row": 3}}, "cannot be read"),
        (lambda card: card | {"contents": card["contents"] | {"test": "other"}}, "same ID test inputs"),
        (lambda card: card | {"contents": {"test": card["contents"]["test"], "mine": "x"}}, "none has the same name"),
        (lambda card: {"results": {"arc": {"acc,none": 0.5}}, "config": {}}, "got a card and a log"),
    ],
)  # fmt: skip
def test_a_card_that_cannot_be_compared_is_told(
    cards: tuple[Card, Card], change: Any, message: str, tmp_path: Path
) -> None:
    first = cards[0].save(tmp_path / "first.json")
    (tmp_path / "second.json").write_text(json.dumps(change(cards[1].summary())))
    with pytest.raises(UserError, match=message):
        _ = compare(first, tmp_path / "second.json")

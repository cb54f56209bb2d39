"""The behaviour card in a browser, of a model of a real study of digits."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from outfield.card.card import Card
from outfield.features.cache import Cache
from tests.browser.pages import Visit, screenshots, violations

MODEL = "mixup-0"


@pytest.fixture(scope="module")
def card(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Card:
    return Card.of_study(digits, MODEL, cache=Cache(tmp_path_factory.mktemp("none")))


@pytest.fixture(scope="module")
def address(card: Card, tmp_path_factory: pytest.TempPathFactory) -> str:
    return card.save(tmp_path_factory.mktemp("card") / "card.html").as_uri()


def test_the_card_opens_at_every_width_and_can_be_used_by_everyone(visit: Visit, address: str) -> None:
    page = visit.page(address)
    page.wait_for_selector("html[data-drawn]")
    screenshots(page, "card")
    assert not violations(page)


def test_every_chart_is_drawn_and_every_picture_shown(visit: Visit, address: str, card: Card) -> None:
    page = visit.page(address)
    page.wait_for_selector("html[data-drawn]")
    charts = page.locator(".vega")
    assert charts.count() >= 5
    assert page.locator(".vega svg").count() == charts.count()
    shown = page.evaluate("() => [...document.querySelectorAll('.inputs img')].map((one) => one.naturalWidth)")
    assert len(shown) == sum(len(group.inputs) for group in card.hardest) and min(shown) > 0
    assert page.locator(".missing").count() == 0, "nothing is missing on this card"


def test_the_numbers_are_those_of_the_card(visit: Visit, address: str, card: Card) -> None:
    page = visit.page(address)
    page.locator("#detectors summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download detectors.csv").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    assert [row["detector"] for row in rows] == card.choice.table["detector"].to_list()
    assert [float(row["mean"]) for row in rows] == pytest.approx(card.choice.table["mean"].to_list(), abs=1e-6)
    first = page.locator("#detectors tbody tr").first.inner_text().split("\t")
    assert first[0] == card.recommended and first[1] == f"{card.choice.table['mean'][0]:.3f}"
    assert page.locator("#answer li").all_inner_texts() == list(card.sentences)

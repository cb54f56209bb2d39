"""A card in a Hugging Face README.md: huggingface_hub reads it, nothing of the file is lost, twice is once."""

from __future__ import annotations

import html
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt

from outfield.card import hub
from outfield.card.card import Card
from outfield.card.hardest import Group, Input
from outfield.card.markdown import escaped
from outfield.card.readme import BEGIN, END, Readme
from outfield.card.recommendation import choose
from outfield.errors import MissingExtra, UserError
from outfield.store import schema

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABc3UBGAAAAABJRU5ErkJggg=="
)
CATEGORIES = {"letters": "near", "photo | China": "far"}
DETECTORS = ("msp", "energy", "mds", "knn", "vim", "gen", "react")


def rows() -> pl.DataFrame:
    common = {"study": "card", "model": "net", "strategy": "net", "family": "baseline", "seed": 0, "id": "digits 0-5"}
    common |= {"role": "test", "n_id": 200, "model_digest": "ab", "data_digest": "cd", "seconds": 0.1, "passes": 1.0}
    ends = {"low": 0.8, "high": 0.95}
    found: list[dict[str, Any]] = [
        {"set_kind": "id", "metric": name, "value": value, **ends}
        for name, value in {"accuracy": 0.9, "ece": 0.05, "nll": 0.4, "brier": 0.1}.items()
    ]
    for severity, value in ((1, 0.8), (3, 0.6)):
        at = {"set_kind": "shift", "shift": "gaussian_noise", "severity": severity, "ood": f"gaussian_noise {severity}"}
        found.append(at | {"metric": "accuracy", "value": value, **ends})
    for i, detector in enumerate(DETECTORS):
        for ood, category in CATEGORIES.items():
            at = {"set_kind": "ood", "detector": detector, "ood": ood, "ood_category": category, "n_ood": 100}
            found.append(at | {"metric": "auroc", "value": 0.9 - 0.02 * i, **ends})
            found.append(at | {"metric": "fpr_at_95_id", "value": 0.3 + (0.4 if ood == "letters" else 0), **ends})
    return schema.frame(common | row for row in found)


def scores() -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(0)
    return {
        name: {"test": rng.normal(size=80)} | {ood: rng.normal(2 - 0.2 * i, 1, 60) for ood in CATEGORIES}
        for i, name in enumerate(DETECTORS)
    }


@pytest.fixture(scope="module")
def card() -> Card:
    hardest = (
        Group("letters: most like ID data", (Input(3, "taken for 1 (99%), score 0.1", picture=PIXEL),) * 3),
        Group("texts", (Input(7, "score 0.2", text=f"a | b {END} <script>\n# no *head* [x](y)"),)),
        Group("told", (Input(9, "score 0.3"),)),
    )
    return Card("Net()", rows(), choose(scores(), CATEGORIES), hardest, inputs="image", notes=("Mind | this.",))


def written(card: Card, folder: Path, before: str | bytes | None) -> str:
    path = folder / "README.md"
    if before is not None:
        path.write_bytes(before if isinstance(before, bytes) else before.encode())
    return hub.write(card, path).read_bytes().decode()


OTHERS = """---
license: mit   # a comment that stays
tags: [vision,   "digits"]
model-index:
- name: older name
  results:
  - task: {type: image-classification}
    dataset: {type: mnist, name: MNIST}
    metrics: [{type: accuracy, value: 0.99, verified: false}]
    source: {name: a board, url: "https://example.org"}

# another that stays
language:
  - en
---

# My net

Words: --- and `model-index`.
"""
BEFORE = {
    "absent": None,
    "empty": "",
    "no head": "# My net\n\nWords.\n",
    "a rule in the body": "# My net\n\n---\n\nWords.\n",
    "empty head": "---\n---\n# My net\n",
    "other metadata": OTHERS,
    "CRLF": OTHERS.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + OTHERS,
    "index last": "---\nlicense: mit\nmodel-index: []\n---\nWords.\n",
    "index empty": "---\nmodel-index:\nlicense: mit\n---\nWords.",
    "flow": "---\n{license: mit, tags: [a]}\n---\nWords.\n",
    "no end of line": "---\nlicense: mit\n---\nWords without an end",
}


def test_every_set_has_a_type_of_its_own_so_that_the_hub_keeps_all(card: Card, tmp_path: Path) -> None:
    names = {"letters": "数字", "photo | China": "文字"}
    more = [rows().filter(ood="letters").with_columns(ood=pl.lit(ood)) for ood in ("digit 7", "digit-7", "digit-7-2")]
    table = pl.concat([rows().with_columns(pl.col("ood").replace(names)), *more])
    sets = dict.fromkeys(table.filter(set_kind="ood")["ood"].unique().sort(), "near")
    scored = {name: dict.fromkeys(("test", *sets), one["letters"]) for name, one in scores().items()}
    several = Card(card.name, table, choose(scored, sets), inputs="image")
    types = [result["dataset"]["type"] for result in hub.results(several)]
    assert len(set(types)) == len(types) == 7
    ModelCard.load(hub.write(several, tmp_path / "README.md")).save(tmp_path / "again.md")
    index = Readme.read(tmp_path / "again.md").metadata["model-index"]
    assert {result["dataset"]["name"] for result in index[0]["results"]} >= set(sets)


@pytest.mark.parametrize("name", BEFORE)
def test_the_hub_reads_what_was_written_and_nothing_is_lost(name: str, card: Card, tmp_path: Path) -> None:
    before = BEFORE[name]
    text = written(card, tmp_path, before)
    found = ModelCard(text.removeprefix("\ufeff"))
    assert found.data.model_name in ("net", "older name")
    own = {(r.dataset_name, r.metric_type): r for r in found.data.eval_results if (r.metric_args or {}).get("tool")}
    assert own["digits 0-5", "accuracy"].metric_value == 0.9
    assert own["letters", "roc_auc"].metric_name == f"AUROC of {card.recommended}"
    assert own["letters", "roc_auc"].metric_args["detector"] == card.recommended
    assert own["digits 0-5 under gaussian_noise", "accuracy"].metric_value == pytest.approx(0.7)
    old = Readme.of(before or "")
    new = Readme.of(text)
    assert {k: v for k, v in new.metadata.items() if k != "model-index"} == {
        k: v for k, v in old.metadata.items() if k != "model-index"
    }
    outside = new.body.partition(BEGIN)[0] + new.body.partition(END)[2]
    assert old.body.strip() in outside and text.count(BEGIN) == text.count(END) == 1
    if before and "comment" in before:
        assert "license: mit   # a comment that stays" in text and "# another that stays" in text
        assert 'tags: [vision,   "digits"]' in text
        others = [r for r in new.metadata["model-index"][0]["results"] if r["dataset"]["name"] == "MNIST"]
        assert others == old.metadata["model-index"][0]["results"]
    if name == "CRLF":
        assert not re.search(r"(?<!\r)\n", text)
    assert text.startswith("\ufeff") == (name == "byte order mark")


@pytest.mark.parametrize("name", BEFORE)
def test_written_twice_is_written_once(name: str, card: Card, tmp_path: Path) -> None:
    once = written(card, tmp_path, BEFORE[name])
    assert written(card, tmp_path, None) == once


def test_an_earlier_card_is_replaced(card: Card, tmp_path: Path) -> None:
    written(card, tmp_path, OTHERS)
    other = Card("Net()", card.rows.filter(pl.col("ood").ne_missing("letters")), card.choice, inputs="image")
    text = written(other, tmp_path, None)
    sets = [r["dataset"]["name"] for r in Readme.of(text).metadata["model-index"][0]["results"]]
    assert "letters" not in sets and sets.count("MNIST") == 1 and sets.count("photo | China") == 1
    assert "letters (near)" not in text


def test_results_pass_the_hubs_own_round_trip(card: Card) -> None:
    index = hub.merged(None, card)
    name, found = model_index_to_eval_results(index)
    assert name == "net" and eval_results_to_model_index(name, found) == index
    assert yaml.safe_load(yaml.safe_dump(index)) == index
    assert all(re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", r["dataset"]["type"]) for r in index[0]["results"])
    assert {r["task"]["type"] for r in index[0]["results"]} == {"image-classification"}


def test_the_section_is_sound_markdown(card: Card, tmp_path: Path) -> None:
    text = written(card, tmp_path, None)
    tokens = MarkdownIt("commonmark").enable("table").parse(Readme.of(text).body)
    heads = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert heads[:2] == ["net", "Behaviour outside the training distribution"] and "no *head*" not in " ".join(heads)
    assert heads[-1] == "Hardest inputs"
    rows_of = [sum(t.type in ("td_open", "th_open") for t in row) for row in _rows(tokens)]
    assert len(rows_of) > 15 and set(rows_of) <= {2, 3, 4, 5}
    assert "<script>" not in text and sum(t.type == "table_open" for t in tokens) == 5
    for sentence in card.sentences:
        assert sentence.partition(":")[0] in text
    pictures = re.findall(r"!\[.*?\]\(<(.*?)>\)", text)
    assert pictures and all((tmp_path / place).is_file() for place in pictures)


HOSTILE = (
    "[a]: http://x", "![x][a]", "![x](http://x)", "[^1]: note", "[^1]", "[x](http://x)", "[x]", "<http://x>", "http://x",
    "www.x.org", "a@x.org", "<img src=x>", "<!-- c -->", "&lt;b&gt;", "&#91;a]", "`code`", "```", "~~~", "~~x~~", "*x*",
    "__x__", "# x", "x #", "- x", "+ x", "1. x", "2) x", "-", "---", "===", "***", "> x", "| x | y |", "a|b", "a\\|b",
    "\\", "x\\", "a\n\nb", "    code", "\tcode", "$x$", "[0.800, 0.900](http://x)", "x](http://x) ![y", "[ ] x", ": x",
    "[0.800, 0.900]", "![y [1%, 2%]", f"{END} {BEGIN}",
)  # fmt: skip
PLACES = (
    "{}",
    "1. {}",
    "> {}",
    "- {}",
    "### On {}",
    "**{}.** x",
    "| {} | x |\n| --- | --- |\n| x | {} |",
    "x (“{}” y)",
)
COMMON = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(markdown: str) -> tuple[str, set[str]]:
    """The text of a page, and its tags."""
    page = COMMON.render(f"[a]: http://own\n\n{markdown}\n\n[x]: http://own\n")
    plain = html.unescape(re.sub(r"<[^>]*>", " ", page))
    return " ".join(plain.split()), set(re.findall(r"<(\w+)", page))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_as_it_is(text: str, place: str) -> None:
    flat = " ".join(text.split())
    wanted, tags = shown(place.format(*["word"] * 2))
    assert shown(place.format(*[escaped(text)] * 2)) == (" ".join(wanted.replace("word", flat).split()), tags)


def test_hostile_names_make_no_link_no_picture_and_no_second_section(card: Card, tmp_path: Path) -> None:
    evil = f"![x][a] [a]: http://x {END}\n{BEGIN}\n# head"
    rows = card.rows.with_columns(id=pl.lit(evil), model=pl.lit(evil))
    hostile = Card(evil, rows, card.choice, card.hardest, inputs="image", notes=(evil,))
    body = Readme.of(written(hostile, tmp_path, None)).body
    page = COMMON.render(f"{body}\n\n[a]: http://own")
    assert body.count(BEGIN) == body.count(END) == 1
    assert "<a " not in page and page.count("<img ") == page.count('<img src="outfield/') == 1
    assert page.count("<h1>") == 1 and page.count("![x][a] [a]: http://x &lt;!-- outfield:end --&gt;") == 3


def _rows(tokens: list[Any]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for token in tokens:
        if token.type == "tr_open":
            found.append([])
        elif found:
            found[-1].append(token)
    return found


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("---\nlicense: [mit\n---\nWords.\n", "Expected YAML at the head of .*README.md"),
        ("---\n- mit\n---\nWords.\n", "Expected a mapping at the head .* got list"),
        ("---\nlicense: mit\nWords.\n", "second line of ---"),
        ("---\nmodel-index: [{name: a}]\n---\n", "huggingface_hub refuses it"),
        ("---\nmodel-index: none\n---\n", "huggingface_hub refuses it"),
        ("---\n1: 2\n---\n", "huggingface_hub refuses it"),
        (f"Words.\n{BEGIN}\n", "got 1 and 0"),
        (f"{END}\n{BEGIN}\n", "another order"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", "got 2 and 2"),
        ("---\nmodel-index: &a []\nother: *a\n---\n", "without YAML anchors"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_cannot_be_taken_in_is_an_error_and_stays(
    before: str | bytes, message: str, card: Card, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        written(card, tmp_path, before)
    assert (tmp_path / "README.md").read_bytes() == (before if isinstance(before, bytes) else before.encode())
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_write_that_fails_leaves_the_file(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    (tmp_path / "README.md").write_text(OTHERS)
    with pytest.raises(UserError, match="No space left"):
        hub.write(card, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == OTHERS
    assert not list(tmp_path.glob(".*"))


def test_without_huggingface_hub_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *args: Any) -> Any:
        if name == "huggingface_hub":
            raise ModuleNotFoundError(name=name)
        return importlib.import_module(name, *args)

    monkeypatch.setattr("outfield.models.libraries.import_module", absent)
    with pytest.raises(MissingExtra, match=r"outfield\[text\]"):
        hub.read(tmp_path / "README.md")


def test_a_card_is_saved_as_a_model_card(card: Card, tmp_path: Path) -> None:
    assert card.save(tmp_path / "new" / "README.md").read_text() == written(card, tmp_path, None)

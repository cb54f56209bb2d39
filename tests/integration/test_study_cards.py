"""The card of one model of a study: its numbers are the stored ones, its pictures those of the study's data."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from outfield.card.card import Card
from outfield.cli import app
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.store import query, write
from outfield.store.scores import jobs
from outfield.studies.run import Outcome
from tests.support import digits, restate, run_small

DETECTORS = ["msp", "mds", "odin", {"name": "energy", "temperature": 1.0}, {"name": "energy", "temperature": 9.0}]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("cards")
    two = {"name": "two digits", "category": "far", "source": digits("all", [8, 9])}
    unit = {"name": "synthetic", "names": ["grey", "rademacher"], "each": 6, "side": 8}
    return run_small(
        folder,
        ood=[two, {"name": "unit tests", "category": "synthetic", "source": unit}],
        detectors=DETECTORS,
        notes=["A note of the study."],
        probe_limit=40,
    ).check()


def copied(outcome: Outcome, folder: Path) -> Path:
    shutil.copytree(outcome.folder, folder / "results")
    return folder / "results"


def cache_of(outcome: Outcome) -> Cache:
    return Cache(outcome.folder.parent / "cache")


def test_the_numbers_are_those_of_the_study(outcome: Outcome) -> None:
    card = Card.of_study(outcome.folder, "baseline-0", cache=cache_of(outcome))
    rows = query.rows(outcome.folder, "model = 'baseline-0' AND part IS NULL")
    assert card.name == "baseline-0" and "strategy baseline" in card.model and "A note of the study." in card.notes
    for ood in ("two digits", "unit tests"):
        stored = rows.filter(detector="mds", ood=ood, metric="auroc").row(0, named=True)
        assert card.estimate("auroc", "mds", ood) == {name: stored[name] for name in ("value", "low", "high")}
    assert set(card.choice.table["detector"]) == {
        *("msp", "mds", "odin", "energy temperature=1.0", "energy temperature=9.0")
    }
    assert card.choice.n == 3 * 40 - 28, "what the sampled detector has scored: 40, 40 and all 12 unit tests"


def test_the_hardest_inputs_are_those_of_the_stored_scores(outcome: Outcome) -> None:
    card = Card.of_study(outcome.folder, "baseline-0", cache=cache_of(outcome))
    stored = query.scores(outcome.folder, "baseline-0", jobs(outcome.folder, "baseline-0")[card.recommended])
    scores = stored.filter(set="two digits").sort("score")
    group = next(one for one in card.hardest if one.title == "two digits: most like ID data")
    assert [one.row for one in group.inputs] == scores["row"].head(8).to_list()
    first = group.inputs[0]
    assert first.picture.startswith("data:image/png") and f"score {scores['score'][0]:.3g}" in first.about
    assert re.match(r"taken for \d \(\d+%\), is [89], score", first.about)
    parts = next(one for one in card.hardest if one.title.startswith("unit tests"))
    assert len(parts.inputs) == 2 and "hardest of each part" in parts.note
    assert {row["class"] for row in card.classes.filter(set="two digits").to_dicts()} == {"8", "9"}
    assert card.known_classes["accuracy"].is_not_null().all()


def test_shares_of_classes_add_up_to_the_share_of_the_set(outcome: Outcome) -> None:
    card = Card.of_study(outcome.folder, "label_noise-0", cache=cache_of(outcome))
    own = card.classes.filter(set="two digits")
    stored = card.estimate("fpr_at_95_id", card.recommended, "two digits")["value"]
    assert float((own["accepted"] * own["n"]).sum() / own["n"].sum()) == pytest.approx(stored)
    known = card.known_classes
    accuracy = float((known["accuracy"] * known["n"]).sum() / known["n"].sum())
    assert accuracy == pytest.approx(card.estimate("accuracy")["value"])


def test_without_cache_and_data_the_card_says_so(outcome: Outcome, tmp_path: Path) -> None:
    bare = Card.of_study(outcome.folder, "baseline-0", cache=Cache(tmp_path / "empty"))
    assert re.match(r"(is \d, )?score", bare.hardest[0].inputs[0].about) and bare.hardest[0].inputs[0].picture
    assert not any("misjudged" in group.title for group in bare.hardest)
    folder = copied(outcome, tmp_path)
    gone = {"name": "zip", "path": str(tmp_path / "gone.zip")}
    restate(folder, lambda manifest: manifest["study"]["ood"][0].update(source=gone))
    card = Card.of_study(folder, "baseline-0", cache=Cache(tmp_path / "empty"))
    assert any("'two digits' cannot be shown" in note for note in card.notes)
    group = next(one for one in card.hardest if one.title.startswith("two digits"))
    assert not group.inputs[0].picture and group.inputs[0].about.startswith("score")
    assert "cannot be shown" in card.save(tmp_path / "card.html").read_text()


def test_data_that_changed_are_not_shown(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    restate(folder, lambda manifest: manifest["study"]["id"].update(test=digits("val")))
    card = Card.of_study(folder, "baseline-0", cache=cache_of(outcome))
    assert any("another digest" in note for note in card.notes)
    assert not any(one.picture for group in card.hardest for one in group.inputs)


def test_an_ood_set_that_changed_is_told_and_not_shown(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    restate(folder, lambda said: said["study"]["ood"][0].update(source=digits("all", [7, 9])))
    card = Card.of_study(folder, "baseline-0", cache=cache_of(outcome))
    assert any("of 'two digits' cannot be shown" in note and "another digest" in note for note in card.notes)
    pictures = {group.title: any(one.picture for one in group.inputs) for group in card.hardest}
    assert not pictures["two digits: most like ID data"]
    assert any(shown for title, shown in pictures.items() if title.startswith("unit tests"))
    assert not card.classes.filter(set="two digits").height


def test_results_without_digests_of_their_ood_sets_are_shown_with_a_note(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    restate(folder, lambda said: said.pop("data"))
    card = Card.of_study(folder, "baseline-0", cache=cache_of(outcome))
    assert any("'two digits', 'unit tests' are what was measured could not be checked" in n for n in card.notes)
    assert all(one.picture for group in card.hardest for one in group.inputs)
    whole = Card.of_study(outcome.folder, "baseline-0", cache=cache_of(outcome))
    assert not any("could not be checked" in note for note in whole.notes)


def test_a_model_that_is_not_there(outcome: Outcome) -> None:
    with pytest.raises(UserError, match="Did you mean 'baseline-0'"):
        Card.of_study(outcome.folder, "baseline-1")
    with pytest.raises(UserError, match="There are 'baseline-0', 'label_noise-0'"):
        Card.of_study(outcome.folder, "x' OR '1'='1")


def test_scores_that_are_not_there(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    (gone,) = query.sql(folder, "SELECT DISTINCT detector FROM rows WHERE detector = 'mds'")["detector"]
    for path in (folder / "scores" / "baseline-0").glob("*.parquet"):
        if pl.read_parquet(folder / "rows" / path.name)["detector"][0] == gone:
            path.unlink()
    with pytest.raises(UserError, match=r"those of mds are not in .*Run the study again"):
        Card.of_study(folder, "baseline-0")


def test_a_damaged_file_of_rows_is_left_out_with_a_warning(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    for path in (folder / "rows").glob("*.parquet"):
        row = pl.read_parquet(path).row(0, named=True)
        if (row["model"], row["detector"]) == ("baseline-0", "mds"):
            path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(write.DamagedFileWarning, match="left out"):
        card = Card.of_study(folder, "baseline-0", cache=cache_of(outcome))
    assert "mds" not in set(card.choice.table["detector"])
    assert card.left_out["mds"].startswith("no results in this study")


def test_a_run_over_checkpoints_has_no_card(tmp_path: Path) -> None:
    row = {"study": "s", "model": "m", "step": 3, "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    write.rows(tmp_path, "ab", [row])
    with pytest.raises(UserError, match="followed over checkpoints"):
        Card.of_study(tmp_path, "m")


def test_a_study_without_detectors_on_ood_sets(tmp_path: Path) -> None:
    row = {"study": "s", "model": "m", "metric": "accuracy", "value": 0.9, "role": "test", "set_kind": "id"}
    write.rows(tmp_path, "ab", [row])
    with pytest.raises(UserError, match="no such rows yet"):
        Card.of_study(tmp_path, "m")


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app(), ["report", *map(str, arguments)])


def test_the_command_writes_the_card(outcome: Outcome, tmp_path: Path) -> None:
    folder = copied(outcome, tmp_path)
    done = command(folder, "--model", "baseline-0")
    assert done.exit_code == 0, done.output
    assert "behaviour card" in (folder / "card-baseline-0.html").read_text()
    readme = tmp_path / "README.md"
    readme.write_text("---\nlicense: mit\n---\n# Net\n")
    done = command(folder, "--model", "baseline-0", "--hf", readme, "-o", tmp_path / "card.json")
    assert done.exit_code == 0, done.output
    found = ModelCard.load(readme)
    assert found.data.license == "mit" and found.data.model_name == "baseline-0"
    accuracy = json.loads((tmp_path / "card.json").read_text())["id"]["accuracy"]["value"]
    assert next(r.metric_value for r in found.data.eval_results if r.metric_type == "accuracy") == round(accuracy, 6)
    assert len(list((tmp_path / "outfield").glob("*.png"))) == found.text.count("![")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "baseline"], "Did you mean 'baseline-0'"),
        (["--hf", "README.md"], "--model NAME with --hf"),
        (["--model", "baseline-0", "-o", "card.pdf"], "card.pdf"),
    ],
)
def test_mistakes_on_the_command_line(outcome: Outcome, arguments: list[str], message: str) -> None:
    failed = command(outcome.folder, *arguments)
    assert isinstance(failed.exception, UserError) and message in str(failed.exception)


def test_a_broken_readme_is_told_before_anything_runs(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outfield.card.card.Card.of_study", lambda *_: pytest.fail("it ran"))
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    failed = command(outcome.folder, "--model", "baseline-0", "--hf", tmp_path / "README.md")
    assert "Expected YAML at the head" in str(failed.exception)


def test_the_choice_is_made_on_inputs_that_every_detector_scored(outcome: Outcome) -> None:
    card = Card.of_study(outcome.folder, "baseline-0", cache=cache_of(outcome))
    held_out = card.choice.held_out
    earned = [auroc for _, auroc in card.choice.without.values()]
    assert held_out is not None and held_out.value == pytest.approx(np.mean(earned))
    assert held_out.low <= held_out.value <= held_out.high

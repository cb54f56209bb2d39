"""Logs of evaluations are read as they are written, paired by item, and compared; what cannot be is told."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from outfield import cli
from outfield.errors import UserError
from outfield.reports.comparison import SetComparison, compare
from outfield.reports.comparison.exports import write
from outfield.reports.comparison_page import html
from outfield.stats import paired_difference

RIGHT = np.random.default_rng(0).random((2, 60)) < np.array([[0.5], [0.8]])
SCHEMA = Path(__file__).parents[1] / "reference" / "every_eval_ever_0_2_2.json"
IDS = [f"q{i}" for i in range(60)]
STAMP = "2026-01-31T10-00-00.123456"


def sample(number: int, right: bool, **more: Any) -> dict[str, Any]:
    """A record as lm-evaluation-harness 0.4 logs it."""
    record = {
        "doc_id": number, "doc": {"question": f"What is {number}?", "passage": f"p{number // 5}"}, "target": "1",
        "arguments": {"gen_args_0": {"arg_0": "Question", "arg_1": " A"}}, "resps": [[["-1.5", "False"]]],
        "filtered_resps": [["-1.5", str(right)]], "filter": "none", "metrics": ["acc"], "doc_hash": f"h{number}",
        "prompt_hash": "p", "target_hash": "t", "acc": float(right),
    }  # fmt: skip
    return record | more


def lines(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def samples(folder: Path, side: int, task: str = "arc", **more: Any) -> Path:
    records = [sample(number, bool(right), **more) for number, right in enumerate(RIGHT[side])]
    return lines(folder / f"samples_{task}_{STAMP}.jsonl", records[:: 1 - 2 * side])


def inspect(path: Path, side: int, epochs: int = 1, **more: Any) -> Path:
    """A log of Inspect, in the form of version 2 of its schema."""
    content = {
        "version": 2, "status": "success", "results": {"completed_samples": 60, "scores": []},
        "eval": {"task": "arc", "model": f"model/{side}", "created": "2026-01-31T10:00:00+00:00"},
        "samples": [
            {"id": number, "epoch": epoch, "input": [{"role": "user", "content": f"What is {number}?"}], "target": "A",
             "scores": {"choice": {"value": "C" if right else "I", "answer": "A" if right else "B"}},
             "metadata": {"topic": number // 5}}
            for epoch in range(1, epochs + 1) for number, right in enumerate(RIGHT[side])
        ],
    }  # fmt: skip
    path.write_text(json.dumps(content | more))
    return path


def table(path: Path, side: int, **more: Any) -> Path:
    columns = {
        "id": [f"q{i}" for i in range(60)],
        "correct": RIGHT[side],
        "question": [f"What is {i}?" for i in range(60)],
    }
    pl.DataFrame(columns | more).write_csv(path)
    return path


def two(make: Callable[..., Path], folder: Path, ending: str, **more: Any) -> SetComparison:
    paths = [folder / f"{side}{ending}" for side in (0, 1)]
    found = compare(*(make(path, side, **more) for side, path in enumerate(paths)))
    assert isinstance(found, SetComparison)
    return found


@pytest.mark.parametrize(("make", "ending"), [(samples, ""), (inspect, ".json"), (table, ".csv")])
def test_logs_of_each_kind_are_paired_by_item(make: Callable[..., Path], ending: str, tmp_path: Path) -> None:
    found = two(make, tmp_path, ending)
    expected = paired_difference(*RIGHT.astype(float))
    row = found.overview.row(0, named=True)
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (expected.estimate.value, expected.estimate.low, expected.estimate.high)
    )
    assert (row["n"], row["better"], row["verdict"]) == (60, "higher", "better")
    assert (row["gained"], row["lost"]) == (expected.gained, expected.lost)
    flips = {int(one.item.lstrip("q")): one.better for one in found.flips}
    assert flips == {i: bool(RIGHT[1, i]) for i in np.flatnonzero(RIGHT[0] != RIGHT[1])}
    assert found.flips[0].text.startswith("What is")


@pytest.mark.parametrize(
    ("make", "ending", "column"), [(samples, "", "passage"), (inspect, ".json", "topic"), (table, ".csv", "page")]
)
def test_items_of_one_document_are_no_independent_items(
    make: Callable[..., Path], ending: str, column: str, tmp_path: Path
) -> None:
    more = {"page": np.arange(60) // 5} if make is table else {}
    paths = [make(tmp_path / f"{side}{ending}", side, **more) for side in (0, 1)]
    row = compare(*paths, group=column).overview.row(0, named=True)
    expected = paired_difference(*RIGHT.astype(float), np.arange(60) // 5)
    assert (row["units"], row["n"]) == (12, 60)
    assert (row["low"], row["high"]) == pytest.approx((expected.estimate.low, expected.estimate.high))


def test_several_tasks_are_corrected_and_counted_once_in_the_mean(tmp_path: Path) -> None:
    for side in (0, 1):
        for task in ("arc", "boolq", "copa"):
            samples(tmp_path / str(side), side, task)
    samples(tmp_path / "0", 0, "only_here")
    found = compare(tmp_path / "0", tmp_path / "1")
    assert found.overview["name"].to_list() == ["acc, mean of 3 sets", "acc, arc", "acc, boolq", "acc, copa"]
    assert found.overview["p corrected"][1] == pytest.approx(3 * found.overview["p"][1])
    assert found.overview["detectable"][1] > found.overview["detectable"][0]
    assert found.only.rows() == [("0", "set", "only_here")] and "Holm" in found.intervals
    adjusted = compare(tmp_path / "0", tmp_path / "1", correction="bh")
    assert adjusted.overview["p corrected"][1] == pytest.approx(found.overview["p"][1])


def test_filters_are_measures_and_epochs_one_item(tmp_path: Path) -> None:
    for side in (0, 1):
        records = [
            sample(number, bool(right), filter=name, metrics=["exact_match"], exact_match=float(right))
            for number, right in enumerate(RIGHT[side])
            for name in ("strict-match", "flexible-extract")
        ]
        lines(tmp_path / str(side) / f"samples_gsm8k_{STAMP}.jsonl", records)
    found = compare(tmp_path / "0", tmp_path / "1")
    assert set(found.overview["metric"]) == {"exact_match,strict-match", "exact_match,flexible-extract"}
    assert set(compare(tmp_path / "0", tmp_path / "1", metrics=["exact_match,strict-match"]).overview["n"]) == {60}
    repeated = two(inspect, tmp_path, ".json", epochs=2)
    assert repeated.overview["n"][0] == 60 and "2 epochs of an item" in repeated.notes[0]


def test_the_zip_of_inspect_holds_the_same(tmp_path: Path) -> None:
    for side in (0, 1):
        content = json.loads(inspect(tmp_path / f"{side}.json", side).read_text())
        with zipfile.ZipFile(tmp_path / f"{side}.eval", "w") as held:
            for one in content.pop("samples"):
                held.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
            held.writestr("header.json", json.dumps(content))
    one, other = (compare(tmp_path / f"0{end}", tmp_path / f"1{end}").overview for end in (".json", ".eval"))
    assert one.equals(other, null_equal=True)


def test_means_with_standard_errors_are_compared_as_if_unpaired(tmp_path: Path) -> None:
    for side, value in ((0, 0.5), (1, 0.56)):
        content = {
            "results": {
                "arc": {"alias": "arc", "acc,none": value, "acc_stderr,none": 0.01, "odd,none": 3.0},
                "wiki": {"word_perplexity,none": 12.5 + side, "word_perplexity_stderr,none": "N/A"},
                "both": {"acc,none": 0.9, "acc_stderr,none": 0.1},
            },
            "group_subtasks": {"both": ["arc"], "arc": []}, "versions": {"arc": 1.0},
            "n-samples": {"arc": {"effective": 2376}},
            "higher_is_better": {"arc": {"acc": True}}, "model_name": f"org/model-{side}", "lm_eval_version": "0.4.9",
        }  # fmt: skip
        (tmp_path / f"results_{side}.json").write_text(json.dumps(content))
    found = compare(tmp_path / "results_0.json", tmp_path / "results_1.json")
    rows = {row["name"]: row for row in found.overview.iter_rows(named=True)}
    assert set(rows) == {"acc, arc", "word_perplexity, wiki"} and found.names == ("org/model-0", "org/model-1")
    arc, wiki = rows["acc, arc"], rows["word_perplexity, wiki"]
    assert arc["high"] - arc["low"] == pytest.approx(2 * 1.96 * np.sqrt(2) * 0.01, rel=1e-3) and arc["n"] == 2376
    assert (wiki["verdict"], wiki["better"]) == ("without an interval", "lower")
    assert any("odd" in note for note in found.notes) and any("not the same" in note for note in found.notes)


def damaged(path: Path, side: int) -> Path:
    if side:
        return samples(path, side)
    own = samples(path, side)
    own.write_text(own.read_text().replace('"doc_id": 3,', '"doc_id": 3', 1))
    return own


FAULTS: dict[str, tuple[Callable[[Path, int], Path], str]] = {
    "a damaged line": (damaged, "line 4 is damaged"),
    "other tasks": (lambda p, s: samples(p, s, ("arc", "boolq")[s]), "sets that are in both, but 0 has arc, 1 boolq"),
    "other data": (lambda p, s: samples(p, s, doc_hash=f"h{s}"), "60 of 60 in arc differ"),
    "other measures": (
        lambda p, s: samples(p, s, **({"metrics": ["f1"], "f1": 0.5} if s else {})), "measures that are in both",
    ),
    "a later version": (lambda p, s: inspect(p.with_suffix(".json"), s, version=7), "got version 7"),
    "no samples": (lambda p, s: inspect(p.with_suffix(".json"), s, samples=[]), "neither samples nor results"),
    "an id twice": (lambda p, s: table(p.with_suffix(".csv"), s, id=["q1", *IDS[1:]]), "q1 stands there several times"),
    "no common item": (
        lambda p, s: table(p.with_suffix(".csv"), s, id=[f"{s}-{i}" for i in range(60)]), "none of 60 and 60 are",
    ),
    "no score": (lambda p, s: table(p.with_suffix(".csv"), s, correct=["maybe", str(s)] * 30), "a column of scores"),
    "no direction": (
        lambda p, s: table(p.with_suffix(".csv"), s, correct=["x"] * 60, toxic=RIGHT[s]), "--higher toxic or",
    ),
    "an empty file": (lambda p, s: lines(p.with_suffix(".jsonl"), []) if s else samples(p, s), "is empty"),
    "other JSON": (lambda p, s: lines(p.with_suffix(".json"), [{"a": s}]), "none of these"),
    "no JSON": (lambda p, s: lines(p.with_suffix(".json"), [1, s]), "cannot be read"),
    "a list a line": (lambda p, s: lines(p.with_suffix(".jsonl"), [[s]]), "line 1 holds a list"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_compared_is_told(fault: str, tmp_path: Path) -> None:
    make, message = FAULTS[fault]
    paths = [make(tmp_path / str(side), side) for side in (0, 1)]
    with pytest.raises(UserError, match=message):
        compare(*paths)


def test_one_file_twice_is_told(tmp_path: Path) -> None:
    one = table(tmp_path / "a.csv", 0)
    copy = tmp_path / "b.csv"
    copy.write_bytes(one.read_bytes())
    for other in (one, copy):
        with pytest.raises(UserError, match="identical: there is nothing to compare"):
            compare(one, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"group": "nobody"}, "--group, but .* has no 'nobody'"), ({"id": "nobody"}, "--id, but"),
        ({"metrics": ["nobody"]}, "measure nobody"), ({"higher": ["nobody"]}, "after --higher and --lower"),
        ({"correction": "none"}, "correction holm or bh"), ({"model": "a"}, "but got two files"),
    ],
)  # fmt: skip
def test_what_a_log_lacks_is_told(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    paths = [table(tmp_path / f"{side}.csv", side) for side in (0, 1)]
    with pytest.raises(UserError, match=message):
        compare(*paths, **given)


def test_a_stated_direction_turns_the_verdict(tmp_path: Path) -> None:
    paths = [table(tmp_path / f"{side}.csv", side, correct=["x"] * 60, toxic=RIGHT[side]) for side in (0, 1)]
    assert compare(*paths, lower=["toxic"]).overview["verdict"][0] == "worse"
    assert {one.better for one in compare(*paths, lower=["toxic"]).flips if one.second} == {False}


def test_two_columns_and_two_rows_of_a_table(tmp_path: Path) -> None:
    columns = pl.DataFrame({"item": [f"q{i}" for i in range(60)], "a": RIGHT[0], "b": RIGHT[1]}).cast(
        {"a": int, "b": int}
    )
    expected = paired_difference(*RIGHT.astype(float)).estimate
    found = compare(columns, model="a", versus="b")
    assert found.overview.select("value", "low").row(0) == pytest.approx((expected.value, expected.low))
    rows = pl.DataFrame(
        {
            "net": ["a", "b", "c"],
            "top1": [0.70, 0.74, 0.1],
            "top1_stderr": [0.01] * 3,
            "fpr": ["20.0 ± 1.0"] * 2 + ["3"],
        }
    )
    found = {row["name"]: row for row in compare(rows, model="a", versus="b").overview.iter_rows(named=True)}
    assert found["top1"]["low"] == pytest.approx(0.04 - 1.96 * np.sqrt(2) * 0.01, abs=1e-4)
    assert (found["fpr"]["better"], found["fpr"]["value"]) == ("lower", 0) and found["fpr"]["high"] > 2.7
    assert not any("±" in note for note in compare(rows.drop("fpr"), model="a", versus="b").notes)
    sets = pl.DataFrame({"net": ["a", "b"], **{f"set {i}": [70.0, 72.0 + i] for i in range(6)}})
    named = compare(sets, model="a", versus="b", measure="accuracy", items=1000)
    assert named.overview["name"][0] == "accuracy, mean of 6 sets" and named.overview["verdict"][0] == "better"
    with pytest.raises(UserError, match="2 rows|there are 2"):
        compare(pl.concat([rows, rows.head(1)]), model="a", versus="b")
    with pytest.raises(UserError, match="Did you mean 'b'|'bb' is not there"):
        compare(rows, model="a", versus="bb")
    with pytest.raises(UserError, match="got a twice"):
        compare(rows, model="a", versus="a")


def test_records_follow_the_schema_of_every_eval_ever(tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    found = two(samples, tmp_path, "")
    files = write(found, tmp_path / "out.json")
    assert [file.name for file in files] == ["out.first.json", "out.second.json"]
    first, second = (json.loads(file.read_text()) for file in files)
    for record in (first, second):
        Draft7Validator(schema).validate(record)
    scored = second["evaluation_results"][0]["score_details"]
    expected = paired_difference(*RIGHT.astype(float))
    assert scored["uncertainty"]["standard_error"]["value"] == pytest.approx(expected.second_error)
    assert (
        scored["details"]["compared_with"] == "0" and "details" not in first["evaluation_results"][0]["score_details"]
    )
    without = {**first, "evaluation_results": [{"evaluation_name": "x"}]}
    assert not Draft7Validator(schema).is_valid(without)


def test_pages_and_tables_hold_the_flips(tmp_path: Path) -> None:
    found = two(samples, tmp_path, "")
    page = html(found, command="outfield compare 0 1")
    assert "Items that flipped" in page and found.flips[0].text in page and "What could have been seen" in page
    out = write(found, tmp_path / "out.csv")
    assert pl.read_csv(out[1]).height == len(found.flips) and pl.read_csv(out[0])["n"][0] == 60
    text = write(found, tmp_path / "out.md")[0].read_text()
    assert "| acc, arc |" in text and "### Items that flipped" in text
    assert r"\begin{tabular}" in write(found, tmp_path / "out.tex")[0].read_text()
    with pytest.raises(UserError, match=r"got 'out.docx'"):
        write(found, tmp_path / "out.docx")


def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write(two(samples, tmp_path, ""), tmp_path / "file" / "out.md")


def test_the_command_shows_and_writes(tmp_path: Path) -> None:
    paths = [table(tmp_path / f"{side}.csv", side) for side in (0, 1)]
    out = tmp_path / "out.html"
    done = CliRunner().invoke(cli.app(), ["compare", *map(str, paths), "-o", str(out), "-o", str(tmp_path / "out.md")])
    assert done.exit_code == 0, done.output
    assert "1 is better" in done.output and "correct" in done.output and "outfield compare" in out.read_text()
    both = pl.read_csv(paths[0]).select("id", a="correct").with_columns(b=pl.Series(RIGHT[1]))
    both.select("id", pl.col("a", "b").cast(int)).write_csv(tmp_path / "both.csv")
    done = CliRunner().invoke(cli.app(), ["compare", str(tmp_path / "both.csv"), "a", "b"])
    assert done.exit_code == 0 and "b is better" in done.output


def test_cells_of_rows_are_read_as_those_of_any_table():
    rows = {
        "model": ["a", "b"],
        "acc": ["**88.3** (0.4)", "85.1* (0.5)"],
        "far auroc": ["0,61", "0,52"],
        "f1": ["80%", "0.7"],
    }
    found = compare(pl.DataFrame({"model": ["a", "b"]} | rows), model="a", versus="b").frame()
    firsts = dict(zip(found["metric"], zip(found["first"], found["second"], strict=True), strict=True))
    assert firsts == {"acc": (88.3, 85.1), "far auroc": (0.61, 0.52), "f1": (0.8, 0.7)}
    assert found.filter(pl.col("metric") == "acc")["error"].item() == pytest.approx((0.4**2 + 0.5**2) ** 0.5)

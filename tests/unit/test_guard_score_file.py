"""Scores of tables in pieces: the same as of the whole, gone on with after a kill, never the whole table in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import outfield
from outfield.data.user_data import dataset, pieces
from outfield.errors import UserError
from outfield.guard.batches import verdict_of_batch
from outfield.guard.bundle import Bundle
from outfield.guard.guarded import Guarded
from outfield.guard.score_file import score_file
from outfield.guard.scores import read
from tests.integration.test_cli import typed
from tests.unit.test_guard_bundle import bundle_of, network, rows

PIECE = 100
COLUMNS = list("abcdef")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and inputs of which some are far off, in the forms that are streamed."""
    place = tmp_path_factory.mktemp("scored")
    bundle_of(network(), place).save(place / "a.guard")
    x = np.concatenate([rows(2)[0], rows(3)[0][:150] - 9])
    table = pl.DataFrame(x, schema=COLUMNS)
    table.write_parquet(place / "in.parquet", row_group_size=70)
    table.write_csv(place / "in.csv")
    return place


def guard(folder: Path, bundle: str = "a.guard") -> Guarded:
    return outfield.guard(network(), folder / bundle)


# --- pieces of data ---


@pytest.mark.parametrize("name", ["in.parquet", "in.csv"])
def test_pieces_are_the_rows_of_the_whole(folder: Path, name: str) -> None:
    parts = list(pieces(folder / name, PIECE))
    assert [len(part) for _, part in parts] == [PIECE] * 10 + [50]
    assert [one for names, _ in parts for one in names] == [f"row {number}" for number in range(1050)]
    whole = dataset(folder / name).read(slice(None))
    np.testing.assert_array_equal(np.concatenate([part.read(slice(None)) for _, part in parts]), whole)


def test_a_column_that_holds_a_word_far_down_is_one_of_texts_from_the_first_piece(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    lines = [f"{number},{number}" for number in range(250)]
    path.write_text("\n".join(["age,town", *lines, "7,Bern"]), encoding="utf-8")
    found = [part.read(slice(None)) for _, part in pieces(path, PIECE)]
    assert found[0][0] == {"age": 0.0, "town": "0"}
    assert [one for part in found for one in part] == list(dataset(path).read(slice(None)))


def test_labels_and_row_numbers_are_no_inputs(tmp_path: Path) -> None:
    path = tmp_path / "with.csv"
    lines = [f"{number},{number / 2},{'cat' if number % 2 else 'dog'}" for number in range(30)]
    path.write_text("\n".join([",age,label", *lines]), encoding="utf-8")
    (_, first), *_ = pieces(path, 20)
    assert (first.read(slice(0, 2)).tolist(), first.labels) == ([[0.0], [0.5]], None)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(f'{{"text": "film {number}", "label": "x"}}' for number in range(25)), encoding="utf-8")
    assert [part.read(slice(None))[0] for _, part in pieces(texts, 10)] == ["film 0", "film 10", "film 20"]


def test_pictures_keep_the_names_of_their_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "cat").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / "cat" / f"{number}.png")
    found = list(pieces(tmp_path, 2))
    assert [Path(name).name for names, _ in found for name in names] == ["0.png", "1.png", "2.png"]
    assert [part.read(slice(None))[0].max() for _, part in found] == [0, 2]


def test_a_row_without_a_number_is_told_by_its_place_in_the_file(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1.0] * 250, "b": [1.0] * 249 + [float("inf")]})
    table.write_parquet(tmp_path / "in.parquet")
    with pytest.raises(UserError, match="rows 249"):
        list(pieces(tmp_path / "in.parquet", PIECE))
    table[:0].write_parquet(tmp_path / "none.parquet")
    with pytest.raises(UserError, match="it has none"):
        list(pieces(tmp_path / "none.parquet", PIECE))


def test_no_table_is_ever_whole_in_memory(tmp_path: Path) -> None:
    """A table of 320 MB, small on the disk."""
    some = pl.DataFrame({f"c{number}": np.full(50_000, float(number)) for number in range(80)})
    path = tmp_path / "large.parquet"
    pl.concat([some] * 10).write_parquet(path, row_group_size=50_000)
    program = (
        "import resource, sys\n"
        "from outfield.data.user_data import pieces\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "next(pieces(sys.argv[2], 10)); before = peak()\n"
        "print(sum(len(part) for _, part in pieces(sys.argv[1], 4096)), peak() - before)"
    )
    some[:100].write_parquet(tmp_path / "small.parquet")
    words = [sys.executable, "-c", program, str(path), str(tmp_path / "small.parquet")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    n, grown = done.stdout.split()
    assert int(n) == 500_000
    assert float(grown) < 160


# --- scores ---


@pytest.mark.parametrize(("data", "ending"), [("in.parquet", ".parquet"), ("in.csv", ".csv"), ("in.parquet", ".csv")])
def test_scores_of_pieces_are_those_of_the_whole(folder: Path, tmp_path: Path, data: str, ending: str) -> None:
    out = tmp_path / f"out{ending}"
    found = score_file(guard(folder), folder / data, out, piece=PIECE)
    expected = guard(folder)(dataset(folder / data).read(slice(None)))
    table = pl.read_parquet(out) if ending == ".parquet" else pl.read_csv(out)
    assert table.columns == ["input", "prediction", "score", "p", "verdict"]
    assert table["input"].to_list() == [f"row {number}" for number in range(1050)]
    assert table["verdict"].to_list() == expected.verdict.tolist()
    np.testing.assert_allclose(table["score"].to_numpy(), expected.score, atol=1e-5)
    whole = verdict_of_batch(read(out)[0], Bundle.load(folder / "a.guard").ladder)
    assert (found.whole.p, found.whole.ood_share) == (whole.p, whole.ood_share)
    assert found.flagged == (expected.verdict == "ood").sum()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


SLOW = """
import sys, time
from pathlib import Path
import outfield
from outfield.guard.score_file import score_file
from tests.unit.test_guard_bundle import network

slow = outfield.guard(network(), sys.argv[1])
answers = slow.answers
slow.answers = lambda data: time.sleep(0.05) or answers(data)
score_file(slow, sys.argv[2], Path(sys.argv[3]), piece=100)
"""


def test_kill_9_keeps_what_was_written_and_the_file_is_the_same(folder: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    score_file(guard(folder), folder / "in.parquet", whole, piece=PIECE)
    words = [sys.executable, "-c", SLOW, str(folder / "a.guard"), str(folder / "in.parquet"), str(out)]
    running = subprocess.Popen(words)
    unfinished = tmp_path / "out.parquet.part"
    while not (unfinished / "000000003.parquet").is_file():
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not out.exists()
    left = {path: path.stat().st_mtime_ns for path in unfinished.glob("0*.parquet")}
    scored: list[int] = []
    resumed = guard(folder)
    answers = resumed.answers
    resumed.answers = lambda data: scored.append(len(data)) or answers(data)  # type: ignore[method-assign, func-returns-value]
    found = score_file(resumed, folder / "in.parquet", out, piece=PIECE)
    assert 4 * PIECE <= found.kept == len(left) * PIECE < 1050
    assert sum(scored) == 1050 - found.kept
    assert out.read_bytes() == whole.read_bytes()
    assert not unfinished.exists()


def begun(folder: Path, out: Path, data: str = "in.parquet") -> None:
    """Scores that broke off after two pieces."""
    broken = guard(folder)
    answers, times = broken.answers, iter(range(10))

    def failing(part: object) -> object:
        if next(times) == 2:
            raise KeyboardInterrupt
        return answers(part)

    broken.answers = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        score_file(broken, folder / data, out, piece=PIECE)


def test_what_was_begun_with_something_else_is_refused_with_the_way_out(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    begun(folder, out)
    bundle_of(network(), tmp_path, alpha=0.1).save(tmp_path / "b.guard")
    for run, said in (
        (lambda: score_file(guard(folder), folder / "in.csv", out, piece=PIECE), "another data"),
        (lambda: score_file(guard(tmp_path, "b.guard"), folder / "in.parquet", out, piece=PIECE), "another bundle"),
        (lambda: score_file(guard(folder), folder / "in.parquet", out, piece=7), "another piece"),
    ):
        with pytest.raises(UserError, match=said) as told:
            run()
        assert "Delete that folder to begin anew" in str(told.value)
    assert score_file(guard(folder), folder / "in.parquet", out, piece=PIECE).kept == 2 * PIECE


def test_damaged_pieces_are_told_and_pieces_without_their_facts_are_made_anew(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    begun(folder, out)
    (tmp_path / "out.parquet.part" / "000000001.parquet").write_bytes(b"damaged")
    with pytest.raises(UserError, match="to begin anew"):
        score_file(guard(folder), folder / "in.parquet", out, piece=PIECE)
    (tmp_path / "out.parquet.part" / "about.json").unlink()
    assert score_file(guard(folder), folder / "in.parquet", out, piece=PIECE).kept == 0


def test_the_shell_goes_on_and_ends_with_3(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("from tests.unit.test_guard_bundle import network\n", encoding="utf-8")
    monkeypatch.setattr("outfield.guard.score_file.PIECE", PIECE)
    words = ("guard", "score", str(folder / "a.guard"), str(folder / "in.parquet"), "--model", "net.py:network")
    assert typed(*words, "-o", "out.parquet") == 3
    said = capsys.readouterr().out
    assert "of 1,050 inputs flagged" in said
    assert "at least" in said
    assert typed("guard", "verdict", str(folder / "a.guard"), "out.parquet") == 3
    again = capsys.readouterr().out
    assert said.splitlines()[-1] == again.splitlines()[-1]
    assert typed(*words) == 3
    assert typed(*words, "-o", "out.txt") == 2

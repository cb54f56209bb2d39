"""The terminal shows names as they are: no markup, no emoji, no control character of a name."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table

import outfield.cli
from outfield.cli import _card, _progress, _study, _track
from outfield.cli._console import Words, console
from outfield.cli._plain import plain
from outfield.studies.executors.base import Event
from outfield.studies.spec import Resources

EVIL = ("[/red]", "[red]x[/red]", "[link=http://x]y[/link]", "a [b] :smile:", "\\[x]", "[/]")
FOLDER = Path(outfield.cli.__file__).parent


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.mark.parametrize("name", EVIL)
def test_prints_titles_cells_and_rules_are_shown_as_they_are(name: str, written: io.StringIO) -> None:
    shown = console(file=written, width=80)
    table = Table(f"head {name}", title=f"title {name}", caption=f"caption {name}")
    table.add_row(f"cell {name}")
    shown.print(f"line {name}", style="yellow")
    shown.print(table)
    shown.rule(f"rule {name}")
    for place in ("line", "head", "title", "caption", "cell", "rule"):
        assert f"{place} {name}" in written.getvalue()


def test_control_characters_are_written_out(written: io.StringIO) -> None:
    table = Table("a\x1b]0;x\x07")
    table.add_row("b\x1b[2J\0\r")
    console(file=written, width=80).print("c\x1b[31m\u202e", table, "d\ud800")
    assert not set("\x1b\x07\0\r\u202e") & set(written.getvalue())
    assert r"c\x1b[31m\u202e" in written.getvalue() and r"b\x1b[2J\x00\r" in written.getvalue()
    assert plain("a\tb\nc") == "a\tb\nc"


@pytest.mark.parametrize("name", EVIL)
def test_progress_shows_names_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with _progress.bars(2) as notify:
        notify(Event(task=name, stage="training", done=1, total=2))
    with _card.telling() as tell:
        tell(name, 1, 2)
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", EVIL)
def test_missing_sets_are_shown_as_they_are(name: str, written: io.StringIO) -> None:
    _study.print_missing([f"set {name}"], console(file=written, width=80))
    _study._warn_of_crowd(Resources(processes=9999), console(file=written, width=80))
    assert f"set {name}" in written.getvalue() and "9999 processes" in " ".join(written.getvalue().split())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_command_prints_through_the_one_console(path: Path) -> None:
    """Another console, or another column of text, would read markup."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert path.stem == "_console" or not named & {"Console", "TextColumn", "from_markup"}
    assert path.stem == "_console" or "Progress" not in named or "console=" in path.read_text(encoding="utf-8")


def test_an_error_shows_names_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["outfield", "report", "a\x1b[31m[/red]"])
    with pytest.raises(SystemExit):
        outfield.cli.main()
    said = capsys.readouterr().err
    assert r"a\x1b[31m[/red]" in said and "\x1b" not in said


def test_a_column_of_words() -> None:
    assert Words("{task.description}", "dim").markup is False and _track.Words is Words


def test_a_warning_is_a_sentence_without_a_line_of_our_source() -> None:
    from outfield.cli import _sentence
    from outfield.store.write import DamagedFileWarning

    ours = _sentence(DamagedFileWarning("x.parquet is damaged\x00."), DamagedFileWarning, "write.py", 7)
    assert ours == "Warning: x.parquet is damaged\\x00.\n"
    assert _sentence("odd", UserWarning, "other.py", 3) == "Warning: odd (UserWarning, other.py:3)\n"

"""Published systems: what their files name exists, and the page is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from outfield.cli import _listing
from outfield.errors import UserError
from outfield.systems.page import page
from outfield.systems.system import System, find, load, paths, systems

ROOT = Path(__file__).parents[2]
OWN = ROOT / "src" / "outfield" / "systems"


@pytest.mark.parametrize("one", systems(), ids=lambda one: one.id)
def test_what_a_system_names_exists(one: System) -> None:
    assert not list(one.missing(ROOT))


def test_no_number_stands_twice() -> None:
    assert len({one.id for one in systems()}) == len(systems())


@pytest.mark.skipif(len(paths()) == len(list(OWN.glob("*.yaml"))), reason="the packages of the repository are absent")
def test_the_page_is_made_of_the_files() -> None:
    assert (ROOT / "docs" / "systems.md").read_text(encoding="utf-8") == page(), (
        "run: python -m outfield.systems.page > docs/systems.md"
    )


def test_each_file_is_called_by_the_number_of_its_system() -> None:
    for path in paths():
        assert path.name.startswith(f"{load(path).id.lower()}_")


def test_what_is_not_there_is_named() -> None:
    claimed = {"parts": {"detectors": ("no_such",), "nothings": ("a",), "functions": ("outfield.no_such",)}}
    claimed |= {"studies": ("studies/no_such.yaml",), "tests": ("tests/unit/test_systems.py::test_no_such", "x.py")}
    named = find("S114").model_copy(update=claimed)
    assert list(named.missing(ROOT)) == [
        "S114: no no_such among the detectors",
        "S114: no a among the nothings",
        "S114: no outfield.no_such among the functions",
        "S114: no file studies/no_such.yaml",
        "S114: no test tests/unit/test_systems.py::test_no_such",
        "S114: no test x.py",
    ]


def test_a_reader_finds_a_paper_by_number_name_part_or_title() -> None:
    assert {find(words).id for words in ("S114", "s114", "msp", "A Baseline for Detecting", "Gimpel")} == {"S114"}
    with pytest.raises(UserError, match="no system 'nothing of the kind'"):
        find("nothing of the kind")


def test_the_command_line_lists_every_system_and_shows_one() -> None:
    lines = _listing.shown("systems", width=None).splitlines()
    assert [line.split()[0] for line in lines] == [one.id for one in systems()]
    shown = _listing.shown("systems", "msp", width=80)
    assert shown.startswith("S114: MSP")
    assert max(map(len, shown.partition("\nTests:")[0].splitlines())) <= 80


def test_a_field_that_no_system_has_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "s114_msp.yaml"
    wrong.write_text("id: S14\nname: MSP\nwhat: 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)id: .*what: Extra inputs.*Correct the file"):
        load(wrong)

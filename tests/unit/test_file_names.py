"""Names that people choose become names of files, in their folder and each its own; text is UTF-8 everywhere."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from outfield.card.hardest import Group, Input
from outfield.card.markdown import pictures
from outfield.cli import _card
from outfield.places import LONGEST, file_name
from outfield.store import query, write
from outfield.studies.recipes import TrainedRecipe, recipes
from outfield.studies.sets import load
from outfield.studies.spec import Spec
from tests.properties.support import attacked
from tests.support import run_small, small_study

NASTY = ["../../../x", "/abs", "..", ".", "", "a/../b", "a\\b", "a\0b", "a\nb", "x" * 300, "é" * 100, "NUL", "com1.txt",
         "trailing.", "trailing ", ".hidden", "C:x", "~", "%2F", "\ud800", "*?[a]"]  # fmt: skip


@pytest.mark.parametrize("name", ["baseline-0", "PGD 2 seed 0", "a (b), c+d=e@f_~", "Mixup_v1.2"])
def test_ordinary_names_stay(name: str) -> None:
    assert file_name(name) == name


def test_what_studies_have_on_disk_keeps_its_name() -> None:
    assert file_name("PGD 2/255 seed 0") == "PGD 2%2F255 seed 0"


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_the_name_of_one_file_in_its_folder(name: str, tmp_path: Path) -> None:
    path = tmp_path / file_name(name)
    path.mkdir()
    assert path.resolve().parent == tmp_path.resolve() and path.name == file_name(name)
    assert (
        file_name(name).isascii() and len(file_name(name)) <= LONGEST and not set(file_name(name)) & set('<>:"/\\|?*')
    )


def test_names_that_look_alike_are_told_apart() -> None:
    names = [*NASTY, *map(file_name, NASTY), *(unicodedata.normalize("NFD", name) for name in NASTY), "nul", "x" * 301]
    names = list(dict.fromkeys(names))
    assert len({file_name(name) for name in names}) == len(names)


@attacked
@given(st.text(), st.text())
def test_no_two_names_become_one(one: str, two: str) -> None:
    assert (file_name(one) == file_name(two)) == (one == two)
    assert file_name(file_name(one)) == file_name(one) or "%" in file_name(one)


def test_a_label_that_leads_elsewhere_trains_and_scores_within_the_folder(tmp_path: Path) -> None:
    label = "../../../escaped"
    inside = tmp_path / "a" / "b" / "c"
    outcome = run_small(
        inside, models=[{"strategy": "baseline", "label": label, "seeds": [0]}], detectors=["msp"], shifts=[]
    ).check()
    assert {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*")} == {"a"}
    name = query.rows(outcome.folder)["model"].unique().item()
    assert label in name and len(list((outcome.folder / "scores").iterdir())) == 1
    assert len(list((outcome.folder / "models").glob("*.safetensors"))) == 1
    assert run_small(
        inside, models=[{"strategy": "baseline", "label": label, "seeds": [0]}], detectors=["msp", "mls"], shifts=[]
    ).check().jobs == 1  # fmt: skip


def test_weights_that_an_earlier_version_wrote_under_any_name_are_found(tmp_path: Path) -> None:
    spec = Spec.parse(small_study())
    recipe = next(recipes(spec, load(spec)))
    assert isinstance(recipe, TrainedRecipe)
    for name, found in {"PGD 2/255: é": True, "../x": False, "/x": False, "a\0": False}.items():
        object.__setattr__(recipe, "name", name)
        assert [path.is_relative_to(tmp_path) for path in recipe._earlier(tmp_path)] == [True] * found


def test_scores_of_two_models_that_share_a_folder_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outfield.store.scores import jobs

    monkeypatch.setattr(write, "file_name", str.lower)
    row = {"study": "s", "metric": "auroc", "value": 1.0, "role": "test", "set_kind": "ood", "detector": "msp"}
    for model, key in (("A", "ab"), ("a", "cd")):
        write.rows(tmp_path, key, [row | {"model": model}])
        write.scores(tmp_path, model, key, pl.DataFrame({"set": ["test"], "row": [0], "score": [0.5]}))
    assert (jobs(tmp_path, "A"), jobs(tmp_path, "a")) == ({"msp": "ab"}, {"msp": "cd"})


SOURCE = Path(__file__).parents[2] / "src" / "outfield"


def without_encoding(path: Path) -> list[int]:
    """Lines that open a file as text and do not say that it is UTF-8."""
    return [
        node.lineno for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call) and _guesses(node)
    ]


def _guesses(call: ast.Call) -> bool:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if isinstance(call.func, ast.Name) and method == "write_text":  # outfield's own, which writes UTF-8
        return False
    if method not in ("read_text", "write_text", "open") or any(word.arg == "encoding" for word in call.keywords):
        return False
    if method == "open":
        owner = getattr(getattr(call.func, "value", None), "id", "")
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        return owner not in ("Image", "tarfile", "archive", "webbrowser", "os") and not any("b" in m for m in modes)
    return True


def test_text_is_read_and_written_as_utf_8() -> None:
    found = {str(path.relative_to(SOURCE)): lines for path in SOURCE.rglob("*.py") if (lines := without_encoding(path))}
    assert found == {}


def test_a_study_with_other_letters_runs_where_the_locale_knows_ascii_alone(tmp_path: Path, repository: Path) -> None:
    study = small_study(title="Überblick → 測試", detectors=["msp"], shifts=[], ood=small_study()["ood"][:1])
    study["ood"][0]["name"] = "Ziffer ⑧"
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "outfield", "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]
    ascii_alone = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "OUTFIELD_CACHE": str(tmp_path / "cache"),
    }
    ended = subprocess.run(command, cwd=repository, env=os.environ | ascii_alone, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    assert "Ziffer ⑧" in query.rows(tmp_path / "out")["ood"].to_list()


def test_cards_of_any_two_models_are_two_files_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr("outfield.card.card.Card.of_study", lambda folder, model: None)
    monkeypatch.setattr(_card, "saved", lambda card, paths, hf: written.extend(paths))
    for model in (*NASTY, "a b", "a/b"):
        _card.write_card(tmp_path, model, None, None)
    assert len({*written}) == len(NASTY) + 2
    for path in written:
        path.write_text("a card")
    assert {*tmp_path.iterdir()} == {*written}


def test_pictures_of_a_set_with_a_long_name_have_a_file() -> None:
    one = Input(0, "about", picture="data:image/png;base64,")
    card = SimpleNamespace(hardest=[Group("x" * 300, (one,)), Group("x" * 301, (one,))])
    names = [path.name for path, _ in pictures(card) if path]  # type: ignore[arg-type]  # only the groups are read
    assert len({*names}) == 2 and max(map(len, names)) <= LONGEST

"""``outfield list``: what it says is what the classes have, though none is imported."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from outfield import registry
from outfield.cli import _listing, _pages
from outfield.errors import UnknownName, UserError, plural
from outfield.reports.analysis import analyse
from tests.integration.test_cli import typed

EVERY = [(kind, name) for kind in registry.kinds() for name in registry.own(kind)]


def parameters(cls: Any) -> dict[str, Any]:
    return {name: one.default for name, one in inspect.signature(cls).parameters.items() if name != "self"}


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_page_says_what_the_class_has(kind: str, name: str) -> None:
    page, cls = _pages.page(kind, name), registry.find(kind, name)
    assert page.cls == cls.__name__ and page.what
    found = {one.name: one.default for one in page.parameters}
    known = parameters(cls)
    assert list(found) == list(known)
    for one, default in known.items():
        if default is inspect.Parameter.empty:
            assert found[one] is None
        elif str(default) == "<factory>":
            made = {each.name: each.default_factory for each in fields(cls)}[one]()  # type: ignore[misc]  # there is one
            shown = eval(found[one] or "None", vars(sys.modules[cls.__module__]))
            assert (shown() if callable(shown) else shown) == made or not (shown or made)
        else:
            assert eval(found[one], {"tuple": tuple, "range": range}) == default  # type: ignore[arg-type]
    for value in ("needs", "information", "fits_on", "family", "higher_is_better", "label", "grid"):
        if value in page.values:
            assert page.values[value] == getattr(cls, value)
    if kind == "detectors":
        assert (page.values["needs"] or cls.base_fields()) and page.values["information"] and page.paper


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_page_fits_the_terminal_and_its_yaml_is_yaml(kind: str, name: str) -> None:
    text = _listing.shown(kind, name, 80)
    assert text.startswith(f"{name}: ") and f'outfield.create("{kind}", "{name}"' in text
    assert max(map(len, text.partition("\nExamples\n")[0].splitlines())) <= 80
    assert yaml.safe_load(_listing.in_study(_pages.page(kind, name)))


def test_a_line_says_whether_a_detector_is_asked_where_none_is_named() -> None:
    lines = {line.split()[0]: line for line in _listing.shown("detectors", width=1000).splitlines() if line}
    usual = {name for name in registry.own("detectors") if not lines[name].endswith(". By name alone")}
    assert usual == set(registry.usual("detectors"))
    assert re.search(r"By default +no\n", _listing.shown("detectors", "heat", 80))


def test_the_page_of_rmds() -> None:
    text = _listing.shown("detectors", "rmds", 80)
    for said in (
        "Relative Mahalanobis distance, min_c MDS_c(f)",
        "Needs        features",
        "Fitted with  classes",
        "ICML Workshop",
        "- rmds",
    ):
        assert said in text
    assert "Fitted with  classes" in text
    assert "Grid of a tuning  percentile: 70.0, 80.0" in _listing.shown("detectors", "react", 80)
    assert "powers: 1, 20; seed: 0, 2 ** 62" in _listing.shown("detectors", "gram", 80)
    assert "source: {name: folder, path: PATH" in _listing.shown("sources", "folder", 80)


@pytest.mark.parametrize("kind", [*registry.kinds(), "models", "datasets", "tables", "kinds", ""])
def test_lists_fit_80_columns(kind: str) -> None:
    lines = _listing.shown(kind, width=80).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) > 1
    if kind in registry.kinds():
        assert lines[0].startswith("NAME") and lines[-1].startswith(f"More of one: outfield list {kind} ")
        assert typed(*lines[-1].split()[-3:]) == 0


@pytest.mark.parametrize("kind", registry.kinds())
def test_where_no_terminal_is_each_line_begins_with_a_name(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("list", kind) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.names(kind))


def test_kinds_models_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("list", "kinds") == 0
    first = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert first == [*registry.kinds(), "models", "datasets", "tables", "systems"]
    assert typed("list", "models") == 0
    from outfield.models.open import OPENERS

    said = capsys.readouterr().out
    ways = {*(f"{kind}:" for kind in OPENERS if kind != "weights"), "FILE.pth", "FILE.py:", "small_cnn"}
    assert all(f"\n{way}" in f"\n{said}" for way in ways)
    assert typed("list", "datasets") == 0
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert sorted(name for name, _ in lines) == list(registry.names("sources"))
    for name, origin in lines:
        asked = inspect.Parameter.empty in parameters(registry.find("sources", name)).values()
        assert (origin == "ships") == (not asked)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("detector",), "no kind 'detector'. Did you mean 'detectors'"),
        (("detectors", "rmd"), "no detector 'rmd'. Did you mean 'rmds'"),
        (("models", "resnet_cifr"), "no network 'resnet_cifr'. Did you mean 'resnet_cifar'"),
        (("kinds", "strategys"), "no kind 'strategys'. Did you mean 'strategies'"),
    ],
)
def test_a_wrong_name_is_suggested_and_the_hint_works(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("list", *words) == 2
    message = capsys.readouterr().err
    assert said in message
    assert typed(*message.partition("`outfield ")[2].partition("`")[0].split()) == 0


def hinted(failing: Callable[[], object]) -> str:
    """The kind that the message of an unknown name says how to list."""
    with pytest.raises(UnknownName) as error:
        failing()
    return str(error.value).partition("`outfield list ")[2].partition("`")[0]


def test_every_kind_of_a_hint_can_be_listed() -> None:
    for kind in registry.kinds():
        assert hinted(partial(registry.find, kind, "?")) == kind
        assert _listing.shown(kind)
    assert hinted(lambda: registry.names("?")) == hinted(lambda: _listing.shown("?")) == "kinds"
    assert _listing.shown("kinds")
    for kind in ("example", "model", "NLI sets"):
        assert str(UnknownName(kind, "?", ["a", "b"])).endswith("There are: a, b.")
    assert str(UnknownName("model", "?", map(str, range(100, 300)))).endswith("108, 109 and 190 more.")


def test_a_foreign_plug_in_is_read_without_running_it(tmp_path: Path) -> None:
    package = tmp_path / "foreign_plugin"
    info = tmp_path / "foreign-1.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    (package / "margin.py").write_text(
        "class Margin(Detector):\n    '''Distance of two logits.'''\n"
        "    scale: float = 2.0\n"
        "    needs: ClassVar = frozenset({'logits'})\n    information: ClassVar[str] = 'outputs'\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    points = "margin = foreign_plugin.margin:Margin\nlost = foreign_absent.x:Y"
    (info / "entry_points.txt").write_text(f"[outfield.detectors]\n{points}\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from outfield.cli._listing import shown; "
        "print(shown('detectors')); print(shown('detectors', 'margin')); print(shown('detectors', 'lost')); "
        "print([name for name in ('torch', 'numpy', 'rich') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    line = next(one for one in said.splitlines() if one.startswith("margin "))
    assert line.split() == ["margin", "outputs", "logits", "Distance", "of", "two", "logits"]
    assert "scale = 2.0" in said and "  - margin\n" in said
    assert "lost: a detector of another package, whose source cannot be found." in said
    assert "\nlost\n" in said and said.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("one", "many"), [("strategy", "strategies"), ("model", "models"), ("family", "families"), ("unit", "units")]
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


def test_a_table_of_few_strategies_says_strategies() -> None:
    rows = {"model": ["a", "b", "c"], "strategy": ["a", "a", "b"], "acc": [0.1, 0.2, 0.3], "near": [0.5, 0.6, 0.7]}
    with pytest.raises(UserError, match="at least four strategies with all measures, but got 2"):
        analyse(pl.DataFrame(rows), model="model", strategy="strategy", id="acc", ood=["near"])


def test_version_and_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import version

    assert typed("--version") == 0
    assert capsys.readouterr().out == f"outfield {version('outfield')}\n"
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        assert typed("--help") == 0
        said = capsys.readouterr().out
        assert "..." not in said.replace("[ARGS]...", "") and max(map(len, said.splitlines())) <= width
        assert "Run it again and it resumes." in " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runn", "x"), "Did you mean 'run'"),
        (("run", "x", "--dri-run"), "--dry-run"),
        (("lst",), "Did you mean 'list'"),
    ],
)
def test_a_wrong_command_or_option_is_suggested(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*words) == 2
    assert said in capsys.readouterr().err

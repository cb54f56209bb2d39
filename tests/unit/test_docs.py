"""The documents say what the code does."""

from __future__ import annotations

import doctest
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from outfield.studies.reference import reference
from outfield.studies.spec import Spec
from outfield.trajectory import track as tracked

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md")])


def test_the_reference_of_the_study_file_is_made_from_the_schema() -> None:
    assert (ROOT / "docs" / "study-file.md").read_text() == reference(), (
        "run: python -m outfield.studies.reference > docs/study-file.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_in_documents_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = page.parent.name.replace("-", "_")
    if page.parents[1].name == "packages" and not find_spec(package):
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS, encoding="utf-8"
    )
    assert not result.failed


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(path: Path) -> None:
    load = tracked.load if "kind" in yaml.safe_load(path.read_text()) else Spec.load
    assert load(path).name == path.stem

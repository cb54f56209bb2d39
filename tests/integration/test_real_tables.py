"""The page on the real tables is what its command writes from the extracts that ship."""

from __future__ import annotations

import importlib.util
import re
import sys

import pytest

NUMBER = re.compile(r"(?<![\w-])[-+]?\d*\.?\d+(?![\w])")
LARGEST = 60_000


@pytest.fixture(scope="module")
def made(repository, tmp_path_factory):
    """The page as the command writes it now, and the folder of its pictures."""
    spec = importlib.util.spec_from_file_location("real_tables", repository / "docs" / "real_tables.py")
    module = sys.modules["real_tables"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("docs")
    return module.Page(module.Tables(), folder).text, folder


def test_the_page_is_what_the_extracts_give(made, repository):
    text, _ = made
    kept = (repository / "docs" / "real-tables.md").read_text(encoding="utf-8")
    assert NUMBER.sub("#", text) == NUMBER.sub("#", kept)
    for new, old in zip(NUMBER.findall(text), NUMBER.findall(kept), strict=True):
        assert float(new) == pytest.approx(float(old), abs=0.0101, rel=0.01), kept


def test_every_picture_of_the_page_is_there_and_small(made, repository):
    text, folder = made
    named = re.findall(r"\]\((real-tables/\S+)\)", text)
    assert len(named) == 4
    for name in named:
        for place in (folder, repository / "docs"):
            assert 0 < (place / name).stat().st_size < LARGEST

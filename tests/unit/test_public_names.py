"""What ``import outfield`` offers is there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import outfield

SOURCE = Path(outfield.__file__).parent
UPPER = sorted(path for folder in ("reports", "card") for path in (SOURCE / folder).rglob("*.py"))
OPEN = {"tables/measures.py": {"column", "names", "families", "has_families"}, "reports/findings/base.py": {"title"}}
"""What has no docstring yet."""


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes, and what classes add that are made from no other."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from public(node)


@pytest.mark.parametrize("name", outfield.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(outfield, name).__doc__


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    _ = outfield.create  # loads outfield.registry, which is then an attribute
    assert dir(outfield) == sorted(outfield.__all__)


def test_there_is_one_place_for_each_name() -> None:
    assert sorted(outfield._PLACES) == sorted(outfield.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = outfield.nothing


@pytest.mark.parametrize("path", UPPER, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_public_name_of_reports_and_cards_is_documented(path: Path) -> None:
    bare = {node.name for node in public(ast.parse(path.read_bytes())) if not ast.get_docstring(node)}
    assert bare <= OPEN.get(path.relative_to(SOURCE).as_posix(), set())

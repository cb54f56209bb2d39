"""What ``import outfield`` offers is there."""

from __future__ import annotations

import pytest

import outfield


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

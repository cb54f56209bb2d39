"""Our own analyses keep their contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from outfield.registry import create, own
from outfield.testing import simulated
from outfield.testing.analyses import CHECKS, Case, usual

ROWS = {
    "choice_on_id_validation": simulated.domains,
    "critical_bands": simulated.band_noise,
    "performance_by_domain": simulated.domains,
}
"""Rows of analyses that read others than those of a usual study."""


@cache
def case(name: str) -> Case:
    return Case(create("analyses", name), ROWS.get(name, usual)())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", own("analyses"))
def test_contract(name: str, check: Callable[[Case], None]) -> None:
    check(case(name))

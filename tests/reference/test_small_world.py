"""Numbers that do not move: every detector's AUROC on a small fixed world equals the committed table.

Where a change is meant, ``python benchmarks/small_world.py --write`` makes the table anew: commit both together.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from outfield.detectors._requirements import asks
from outfield.registry import create, own

MOVED = 1e-4
SERVED = [name for name in own("detectors") if not asks(create("detectors", name)) & {"texts", "regions"}]
"""All but those that need a CLIP."""


@cache
def world() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "small_world.py"
    spec = spec_from_file_location("small_world", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def measured() -> Any:
    return world().measured()


def test_the_table_holds_every_detector() -> None:
    assert set(world().committed()) == set(world().served(world().opened())) == set(SERVED)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SERVED)
def test_no_auroc_moves(name: str) -> None:
    assert measured()[name] == pytest.approx(world().committed()[name], abs=MOVED, rel=0)


def test_the_network_is_small_and_frozen() -> None:
    assert world().NETWORK.stat().st_size < 50_000

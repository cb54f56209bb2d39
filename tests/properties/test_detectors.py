"""Detectors on hostile rows: a finite score for finite rows, NaN for exactly the others; nothing else."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outfield.detectors.base import Detector
from outfield.registry import create, own
from outfield.testing.world import world
from outfield.types import Outputs, State
from tests.properties.support import attacked

SMALLER: dict[str, dict[str, Any]] = {"corp": {"m": 96}}
ODD = (torch.nan, torch.inf, -torch.inf)


@cache
def fitted(name: str) -> tuple[Detector, State]:
    detector = create("detectors", name, **SMALLER.get(name, {}))
    return detector, detector.fit(world().fit_data(detector))


@attacked
@given(
    st.sampled_from(own("detectors")),
    st.lists(st.sampled_from([*ODD, 0.0, 1e-20, 1.0, 1e4]), min_size=1, max_size=6),
)
def test_a_row_is_scored_or_is_nan(name: str, factors: list[float]) -> None:
    detector, state = fitted(name)
    out = world().outputs("test", detector)[: len(factors)]
    scale = torch.tensor([factor if math.isfinite(factor) else 1.0 for factor in factors])
    odd = torch.tensor([0.0 if scale[i] == factor else factor for i, factor in enumerate(factors)])

    def hostile(values: torch.Tensor) -> torch.Tensor:
        shape = (-1, *[1] * (values.ndim - 1))
        return values * scale.view(shape) + odd.view(shape) if values.is_floating_point() else values

    found = detector.score(Outputs.map(out, hostile), state)
    assert found.shape == (len(factors),)
    assert torch.equal(torch.isnan(found), ~torch.isfinite(torch.tensor(factors)))
    assert torch.isfinite(found[torch.isfinite(torch.tensor(factors))]).all()


@pytest.mark.parametrize("name", own("detectors"))
def test_no_rows_have_no_scores(name: str) -> None:
    detector, state = fitted(name)
    assert len(detector.score(world().outputs("test", detector)[:0], state)) == 0

"""MDS++ and RMDS++: those without ++ on rows of length one."""

from __future__ import annotations

import pytest
import torch

from outfield.features.fit_data import FitData
from outfield.registry import create
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD


@pytest.mark.parametrize("name", ["mds", "rmds"])
def test_plus_plus_is_the_plain_one_on_rows_of_length_one(name: str) -> None:
    """By numpy's rows of length one, given to the plain one, whose formula has a second opinion."""
    plain, ours = create("detectors", name), create("detectors", f"{name}pp")

    def normed(out: Outputs, rows: torch.Tensor) -> Outputs:
        return out.with_fields(features=rows)

    train = normed(WORLD.train.out, torch.tensor(WORLD.train.n))
    test = normed(WORLD.test.out, torch.tensor(WORLD.test.n))
    expected = plain.score(test, plain.fit(FitData.of(train)))
    found = ours.score(WORLD.test.out, ours.fit(FitData.of(WORLD.train.out, chunk=70)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mdspp", "rmdspp"])
def test_the_length_of_a_feature_does_not_count(name: str) -> None:
    detector = create("detectors", name)
    state = detector.fit(FitData.of(WORLD.train.out))
    longer = WORLD.test.out.with_fields(features=8 * WORLD.test.out.features)
    torch.testing.assert_close(detector.score(longer, state), detector.score(WORLD.test.out, state))

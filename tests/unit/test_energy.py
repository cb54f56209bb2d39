"""Energy at its ends."""

from __future__ import annotations

import torch

from outfield.detectors.energy import Energy
from outfield.detectors.mls import MLS
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD


def test_logits_that_rise_together_lower_the_score_by_as_much() -> None:
    raised = Outputs(logits=WORLD.test.out.logits + 2.5)
    torch.testing.assert_close(Energy().score(raised, {}), Energy().score(WORLD.test.out, {}) - 2.5)


def test_near_temperature_zero_it_is_the_largest_logit() -> None:
    cold = Energy(temperature=1e-4).score(WORLD.test.out, {})
    torch.testing.assert_close(cold, MLS().score(WORLD.test.out, {}), rtol=0, atol=1e-3)

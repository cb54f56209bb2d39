"""MSP: identities, its two tasks on digits, and the area that chance has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from outfield.detectors.msp import MSP
from outfield.metrics.aupr_in import AuprIn
from outfield.metrics.aupr_out import AuprOut
from outfield.metrics.auroc_correct_vs_incorrect import AurocCorrectVsIncorrect
from outfield.metrics.base import IdScores
from outfield.types import Outputs
from tests import support_digits
from tests.reference.test_detectors_formulae import WORLD


def test_logits_that_rise_together_change_nothing() -> None:
    raised = Outputs(logits=WORLD.test.out.logits + 3)
    torch.testing.assert_close(MSP().score(raised, {}), MSP().score(WORLD.test.out, {}), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_equal_logits_have_one_part_in_k(classes: int) -> None:
    found = 1 - MSP().score(Outputs(logits=torch.full((1, classes), 7.0)), {})
    np.testing.assert_allclose(found, 1 / classes)


def test_digits_are_told_from_held_out_ones_and_errors_from_right_answers() -> None:
    """Five seeds: measured .95 for held-out digits; errors of all seeds' test digits together, since each has few."""
    assert np.mean(support_digits.aurocs(MSP(), "held-out")) >= 0.85
    known = [support_digits.outputs(seed)[name] for seed in support_digits.SEEDS for name in ("val", "test")]
    scores = np.concatenate([MSP().score(out, {}).numpy() for out in known])
    right = np.concatenate([(out.logits.argmax(1) == out.labels).numpy() for out in known])
    assert AurocCorrectVsIncorrect().of(IdScores(scores, right)).value >= 0.8


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_precision_of_a_random_score_is_the_base_rate(share: float) -> None:
    rng = np.random.default_rng(0)
    far = int(20_000 * share)
    ranking = IdScores(rng.random(20_000 - far)).against(rng.random(far))
    assert AuprOut().of(ranking).value == pytest.approx(share, abs=0.02)
    assert AuprIn().of(ranking).value == pytest.approx(1 - share, abs=0.02)

"""Our own estimators keep their contract, and one that breaks it is told."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from outfield import registry
from outfield.estimators.base import Answered, Estimator
from outfield.testing.estimators import CHECKS, check_estimator

NAMES = registry.own("estimators")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_contract(name, check):
    check(registry.create("estimators", name))


@dataclass(frozen=True)
class Constant(Estimator):
    def accuracy(self, known: Answered, batch: Answered) -> float:
        return 0.5


def test_an_estimator_that_says_always_the_same_breaks_it():
    with pytest.raises(AssertionError, match="breaks"):
        check_estimator(Constant())

"""Our own strategies keep their contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from outfield.registry import create, find, own
from outfield.strategies import FAMILIES
from outfield.testing.strategies import CHECKS, Case, of

STRATEGIES = own("strategies")


def case(name: str) -> Case:
    return of(create("strategies", name, batch_size=12))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", STRATEGIES)
def test_contract(name: str, check: Callable[[Case], None]) -> None:
    check(case(name))


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_are_frozen_by_the_freezing_family_alone(name: str) -> None:
    made = case(name)
    with torch.random.fork_rng():
        module = made.strategy.finish(made.strategy.network(made.network, made.task), made.data, made.task)
    frozen = [weight for weight in module.parameters() if not weight.requires_grad]
    assert bool(frozen) == (find("strategies", name).family in ("freezing", "vision-language"))


def test_every_family_has_a_strategy() -> None:
    assert {find("strategies", name).family for name in STRATEGIES} == set(FAMILIES)

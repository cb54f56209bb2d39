"""Every plug-in of the package keeps the contract of its kind."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from outfield.data.member import Member
from outfield.registry import create
from outfield.testing import Contract, check_network, check_strategy, check_task, plugins_of
from outfield.types import Batch, Outputs
from outfield_control.networks.policy_mlp import PolicyMLP
from outfield_control.sources.point_mass_logs import PointMassLogs
from outfield_control.strategies.bc import BC
from outfield_control.tasks.point_mass import PointMass

OFFLINE = ("bc", "td3_bc", "mcep")
OTHERS = plugins_of("outfield-control", apart=(*OFFLINE, "policy_mlp", "point_mass"))


@pytest.mark.parametrize("contract", OTHERS, ids=str)
def test_contract(contract: Contract) -> None:
    contract()


def test_contract_of_the_network() -> None:
    check_network(PolicyMLP, torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", OFFLINE)
def test_contract_of_a_strategy(name: str, task: PointMass, logged: Batch) -> None:
    seen = Batch(
        logged.streams["learn"].x[:64], streams=logged.streams
    )  # what a policy reads, in the place of episodes
    strategy = create("strategies", name, updates=4, batch_size=16)
    check_strategy(strategy, task=task, data=seen, network=partial(PolicyMLP, width=8))


def test_contract_of_the_task() -> None:
    def answers(member: Member, right: bool) -> Outputs:
        return Outputs(predictions=torch.full((len(member),), 0.0 if right else -50.0))

    task = PointMass(episodes=40, gravities=(0.2,), logs=PointMassLogs(episodes=8))
    check_task(task, strategy=BC(epochs=1, updates=2), answers=answers)

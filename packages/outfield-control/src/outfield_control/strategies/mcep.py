from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.optim import Optimizer

from outfield.strategies.base import MakeNetwork, Optimizers
from outfield.tasks.base import Task
from outfield.types import Batch
from outfield_control.strategies.td3_bc import TD3BC, agent_of
from outfield_control.transitions import Transitions


@dataclass(frozen=True, kw_only=True)
class MCEP(TD3BC):
    """TD3+BC with a second policy that is held to the logs more mildly, and is only ever played [1].

    The first, strongly constrained policy makes the critics' targets. The second learns on the same critics, and they
    learn nothing from it: its weight of the value may be large without harm to the values.

    Parameters
    ----------
    evaluation_alpha : float
        Weight of the value for the policy that is played; ``alpha`` is that of the target policy.

    Examples
    --------
    >>> MCEP().params["alpha"], MCEP().params["evaluation_alpha"]
    (2.5, 10.0)

    References
    ----------
    [1] Xu et al. Mildly Constrained Evaluation Policy for Offline Reinforcement Learning. TMLR 2024.
    """

    evaluation_alpha: float = 10.0

    limits: ClassVar = {**TD3BC.limits, "evaluation_alpha": (0.0, 1e6)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        agent = super().network(make, task)
        agent.add_module("evaluation", deepcopy(agent_of(agent).policy))  # a copy draws no chance
        return agent

    def optimizer(self, network: nn.Module) -> Mapping[str, Optimizer]:
        return {**super().optimizer(network), "evaluation": self._adam(_played(network))}

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        super().step(network, batch, task, optimizers)
        if self.moves(optimizers):
            logged, policy = Transitions.of(batch), _played(network)
            optimizers.descend(self.actor_loss(agent_of(network), policy, logged, self.evaluation_alpha), "evaluation")

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _played(network)


def _played(network: nn.Module) -> nn.Module:
    return agent_of(network).get_submodule("evaluation")

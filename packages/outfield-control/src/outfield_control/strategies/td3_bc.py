from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from outfield.strategies.base import MakeNetwork, Optimizers, learned
from outfield.tasks.base import Task
from outfield.types import Batch
from outfield_control.strategies.actor_critic import ActorCritic
from outfield_control.strategies.losses import backup, constrained
from outfield_control.strategies.offline import OfflineStrategy
from outfield_control.transitions import Transitions


@dataclass(frozen=True, kw_only=True)
class TD3BC(OfflineStrategy):
    """TD3 whose actor is held to the logs [1].

    The actor maximises ``l Q(s, pi(s)) - (pi(s) - a)^2`` with ``l = alpha / mean |Q|``.

    Of TD3 [2]: two critics that learn towards the smaller of their slow copies' values, at actions of the slow policy
    with clipped noise; actor and slow copies move every ``delay`` steps. The papers standardise what is seen and have
    256 units a layer; here what is seen is of order one, and 64 are enough.

    Parameters
    ----------
    alpha : float
        Weight of the value against the cloning; 0 is behaviour cloning.
    discount : float
    rate : float
        How far slow copies go to what they are copies of.
    noise, clip : float
        Standard deviation of the noise on the slow policy's actions, and the most that it may be.
    delay : int
        Critic steps for each step of the actor.
    width : int
        Of the critics' hidden layers.

    Examples
    --------
    >>> TD3BC(alpha=1.0).total_steps(256)
    3000

    References
    ----------
    [1] Fujimoto, Gu. A Minimalist Approach to Offline Reinforcement Learning. NeurIPS 2021.
    [2] Fujimoto, van Hoof, Meger. Addressing Function Approximation Error in Actor-Critic Methods. ICML 2018.
    """

    alpha: float = 2.5
    discount: float = 0.99
    rate: float = 0.005
    noise: float = 0.2
    clip: float = 0.5
    delay: int = 2
    width: int = 64

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {
        "updates": (1, 1_000_000),
        "alpha": (0.0, 1e6),
        "discount": (0.0, 1.0),
        "rate": (0.0, 1.0),
        "noise": (0.0, 10.0),
        "clip": (0.0, 10.0),
        "delay": (1, 1000),
        "width": (1, 4096),
    }

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return ActorCritic(make(), self.width)

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def optimizer(self, network: nn.Module) -> Mapping[str, Optimizer]:
        agent = agent_of(network)
        return {"critic": self._adam(agent.critic), "actor": self._adam(agent.policy)}

    def _adam(self, module: nn.Module) -> Optimizer:
        return torch.optim.AdamW(learned(module), lr=self.learning_rate, weight_decay=self.weight_decay)

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        agent, logged = agent_of(network), Transitions.of(batch)
        optimizers.descend(self.critic_loss(agent, logged), "critic")
        if self.moves(optimizers):
            optimizers.descend(self.actor_loss(agent, agent.policy, logged, self.alpha), "actor")
            agent.follow(self.rate)

    def moves(self, optimizers: Optimizers) -> bool:
        """Whether the actor moves in this step."""
        return (optimizers.step + 1) % self.delay == 0

    def critic_loss(self, agent: ActorCritic, logged: Transitions) -> Tensor:
        """The squared error of both critics against their common target."""
        target = self.target(agent, logged)
        said = agent.critic(logged.observation, logged.action)
        return functional.mse_loss(said[0], target) + functional.mse_loss(said[1], target)

    @torch.no_grad()
    def target(self, agent: ActorCritic, logged: Transitions) -> Tensor:
        """What both critics are to say of the logged steps [n, 1]."""
        noise = (self.noise * torch.randn_like(logged.action)).clamp(-self.clip, self.clip)
        action = (agent.slow_policy(logged.following) + noise).clamp(-1, 1)
        values = agent.slow_critic(logged.following, action)
        return backup(logged.reward, logged.terminal, values, self.discount)

    def actor_loss(self, agent: ActorCritic, policy: nn.Module, logged: Transitions, alpha: float) -> Tensor:
        """The value of a policy's actions by the first critic, and how far they are from the logged ones."""
        action = policy(logged.observation)
        values, _ = agent.critic(logged.observation, action)
        return constrained(values, action, logged.action, alpha)

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return agent_of(network).policy


def agent_of(network: nn.Module) -> ActorCritic:
    """The agent, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, ActorCritic))

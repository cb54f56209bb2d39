"""An actor with two critics, and the slow copies of all three that make the targets."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from outfield_control.policy_model import policy_of


class Critic(nn.Module):
    """Two values of an action in a state, each of its own weights.

    Parameters
    ----------
    observations, actions, width : int

    Examples
    --------
    >>> one, two = Critic(4, 2, width=8)(torch.zeros(3, 4), torch.zeros(3, 2))
    >>> one.shape, two.shape
    (torch.Size([3, 1]), torch.Size([3, 1]))
    """

    def __init__(self, observations: int, actions: int, width: int) -> None:
        super().__init__()
        self.first, self.second = (_layers(observations + actions, width) for _ in range(2))

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat((observation, action), dim=1)
        return self.first(both), self.second(both)


class ActorCritic(nn.Module):
    """All that an actor-critic learns: what a checkpoint holds and a seed decides.

    Parameters
    ----------
    policy : nn.Module that is a ``Policy``
    width : int
        Of the critics' hidden layers.

    Examples
    --------
    >>> from outfield_control.networks.policy_mlp import PolicyMLP
    >>> agent = ActorCritic(PolicyMLP(width=8), width=8)
    >>> with torch.no_grad():
    ...     _ = agent.policy.head.bias.add_(1)
    >>> agent.follow(0.25)
    >>> bool(torch.allclose(agent.policy.head.bias - agent.slow_policy.head.bias, torch.tensor(0.75)))
    True
    """

    def __init__(self, policy: nn.Module, width: int) -> None:
        super().__init__()
        sizes = policy_of(policy)
        self.policy, self.critic = policy, Critic(sizes.observations, sizes.actions, width)
        self.slow_policy, self.slow_critic = (deepcopy(one).requires_grad_(False) for one in (policy, self.critic))

    def forward(self, observation: Tensor) -> Tensor:
        """The policy's action."""
        action: Tensor = self.policy(observation)
        return action

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """The slow copies go a share of the way to what they are copies of."""
        for slow, fast in ((self.slow_policy, self.policy), (self.slow_critic, self.critic)):
            for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                old.lerp_(new, rate)


def _layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

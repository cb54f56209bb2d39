"""Episodes, played by a policy."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from outfield_control.world import COLUMNS, HORIZON, Bodies, gusts


@runtime_checkable
class Policy(Protocol):
    """What a network must offer to play: two functions whose composition is its answer to an observation.

    Attributes
    ----------
    observations, actions : int
        Numbers that it sees, and that it answers.
    """

    observations: int
    actions: int

    def hidden(self, observation: Tensor) -> Tensor:
        """The last hidden layer [n, d]."""
        ...

    def act(self, hidden: Tensor) -> Tensor:
        """The action [n, a], in [-1, 1]."""
        ...


class Played(NamedTuple):
    """What came of episodes.

    Attributes
    ----------
    returns : Tensor [n]
        The sum of the rewards.
    features : Tensor [n, d]
        The policy's last hidden layer, averaged over the steps.
    """

    returns: Tensor
    features: Tensor


def play(policy: Policy, episodes: Tensor) -> Played:
    """Episodes [n, 9], played to their end side by side; gradients pass through the world.

    Examples
    --------
    >>> from outfield_control.networks.policy_mlp import PolicyMLP
    >>> from outfield_control.sources.point_mass_episodes import PointMassEpisodes
    >>> starts = torch.from_numpy(PointMassEpisodes(3).load().read(slice(None)))
    >>> played = play(PolicyMLP(width=8), starts)
    >>> played.returns.shape, played.features.shape
    (torch.Size([3]), torch.Size([3, 8]))
    """
    bodies, blown = Bodies.at(episodes), gusts_of(episodes)
    returns, features = torch.zeros(()), torch.zeros(())
    for step in range(HORIZON):
        hidden = policy.hidden(bodies.observation)
        bodies = bodies.pushed(policy.act(hidden), blown[:, step])
        returns, features = returns + bodies.reward, features + hidden / HORIZON
    return Played(returns, features)


def gusts_of(episodes: Tensor) -> Tensor:
    """The gusts of episodes [n, 9], as [n, steps, 2] on their device."""
    seeds = episodes[:, COLUMNS.index("seed")].detach().cpu().long().numpy()
    return torch.from_numpy(gusts(seeds)).to(episodes)

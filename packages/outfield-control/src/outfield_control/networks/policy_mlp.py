from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class PolicyMLP(nn.Module):
    """A deterministic policy: two hidden layers with ReLU, and an action in [-1, 1] through tanh.

    Parameters
    ----------
    observations, actions : int
        Numbers that it sees, and that it answers; by default those of the point mass.
    width : int
        Of each hidden layer.

    Examples
    --------
    >>> import torch
    >>> policy = PolicyMLP(width=16)
    >>> seen = torch.zeros(3, 4)
    >>> policy(seen).shape, bool((policy(seen) == policy.act(policy.hidden(seen))).all())
    (torch.Size([3, 2]), True)
    """

    items: ClassVar[str] = "episodes"

    def __init__(self, observations: int = 4, actions: int = 2, width: int = 64) -> None:
        super().__init__()
        self.observations, self.actions = observations, actions
        self.trunk = nn.Sequential(nn.Linear(observations, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, actions)

    def hidden(self, observation: Tensor) -> Tensor:
        """The last hidden layer [n, width]."""
        found: Tensor = self.trunk(observation)
        return found

    def act(self, hidden: Tensor) -> Tensor:
        """The action [n, actions]."""
        answer: Tensor = self.head(hidden)
        return answer.tanh()

    def forward(self, observation: Tensor) -> Tensor:
        return self.act(self.hidden(observation))

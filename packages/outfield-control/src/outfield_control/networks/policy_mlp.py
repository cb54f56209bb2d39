from __future__ import annotations

from torch import Tensor, nn

from outfield_control.world import ACTIONS, OBSERVATIONS


class PolicyMLP(nn.Module):
    """A deterministic policy: two hidden layers with ReLU, and an action in [-1, 1] through tanh.

    Parameters
    ----------
    observations, actions : int
        Numbers that it sees, and that it answers.
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

    def __init__(self, observations: int = OBSERVATIONS, actions: int = ACTIONS, width: int = 64) -> None:
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

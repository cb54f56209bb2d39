"""Losses that several strategies share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cloning(action: Tensor, logged: Tensor) -> Tensor:
    """Behaviour cloning: the mean squared difference between a policy's actions and the logged ones.

    Examples
    --------
    >>> cloning(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.5000)
    """
    return functional.mse_loss(action, logged)


def constrained(values: Tensor, action: Tensor, logged: Tensor, alpha: float) -> Tensor:
    """The actor's loss of TD3+BC, ``-l mean Q + mean (a - a_logged)^2`` with ``l = alpha / mean |Q|``.

    With ``alpha`` 0 it is behaviour cloning; the larger, the milder the constraint.

    Examples
    --------
    >>> action = torch.zeros(2, 1)
    >>> constrained(torch.tensor([[-2.0], [-4.0]]), action, action + 1, alpha=2.5)
    tensor(3.5000)
    """
    scale = alpha / values.abs().mean().detach()
    return -scale * values.mean() + cloning(action, logged)


def backup(reward: Tensor, terminal: Tensor, values: tuple[Tensor, Tensor], discount: float) -> Tensor:
    """What both critics are to say of a step: its reward and the smaller of the two values of what follows.

    Examples
    --------
    >>> one = torch.ones(1, 1)
    >>> backup(one, 0 * one, (5 * one, 3 * one), discount=0.5)
    tensor([[2.5000]])
    """
    return reward + (1 - terminal) * discount * torch.minimum(*values)

"""Terms of losses that several papers share. Logits are [n, C]; what comes back is a mean over rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def evenness(logits: Tensor) -> Tensor:
    """Cross-entropy of the uniform distribution, ``-mean_n mean_c log p_c``: least, log C, for even answers.

    Examples
    --------
    >>> import torch
    >>> evenness(torch.zeros(2, 4)).item()
    1.386...
    """
    return -logits.log_softmax(dim=1).mean()


def energy(logits: Tensor) -> Tensor:
    """Free energy of each row, ``E = -log sum_c exp z_c``: low where the network is sure. [n]"""
    return -logits.logsumexp(dim=1)


def squared_hinge(excess: Tensor) -> Tensor:
    """``mean max(0, excess)^2``."""
    return functional.relu(excess).square().mean()


def soft_cross_entropy(logits: Tensor, shares: Tensor) -> Tensor:
    """``-mean_n sum_c q_c log p_c`` with targets q [n, C].

    Examples
    --------
    >>> import torch
    >>> soft_cross_entropy(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]])).item()
    0.693...
    """
    return functional.cross_entropy(logits, shares)

"""Neuron activation coverage: which states of each penultimate neuron a training set has reached."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from outfield.types import Head, Outputs

_ROWS = 2048
"""Rows that are widened to float64 at a time."""


def neuron_states(features: Tensor, logits: Tensor, head: Head, alpha: float) -> Tensor:
    """``sigmoid(alpha z * dKL(u || p) / dz)`` of the penultimate neurons z, [n, D] in float64 [1].

    u is the uniform distribution and p the softmax of the logits, so that the gradient is ``(p - u) W``.

    Examples
    --------
    >>> head = Head(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2))
    >>> neuron_states(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 99.0]]), head, alpha=1.0)
    tensor([[0.5000, 0.7311]], dtype=torch.float64)

    References
    ----------
    [1] Liu, Tian, Li, Ma, Wang. Neuron Activation Coverage: Rethinking Out-of-distribution Detection and
        Generalization. ICLR 2024.
    """
    gradient = (torch.softmax(logits.double(), dim=1) - 1 / logits.shape[1]) @ head.weight.double()
    return torch.sigmoid(alpha * features.double() * gradient)


def bins_of(states: Tensor, bins: int) -> Tensor:
    """The bin of each state, of ``bins`` equal ones between 0 and 1.

    Examples
    --------
    >>> bins_of(torch.tensor([0.0, 0.49, 0.5, 1.0]), 2)
    tensor([0, 0, 1, 1])
    """
    return (states * bins).long().clamp_(max=bins - 1)


def state_counts(chunks: Iterable[Outputs], head: Head, alpha: float, bins: int) -> Tensor:
    """How many of the rows that are predicted right fall into each bin of each neuron, [D, bins].

    Examples
    --------
    >>> out = Outputs(torch.tensor([[0.0, 99.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([1]))
    >>> state_counts([out], Head(torch.eye(2), torch.zeros(2)), alpha=1.0, bins=4)
    tensor([[0, 0, 1, 0],
            [0, 0, 1, 0]])
    """
    dim = head.weight.shape[1]
    first = bins * torch.arange(dim, device=head.weight.device)
    counts = torch.zeros(dim * bins, dtype=torch.int64, device=head.weight.device)
    for chunk in chunks:
        right = torch.nonzero(chunk.logits.argmax(1) == chunk.labels).flatten()
        for rows in right.split(_ROWS):
            states = neuron_states(chunk.features[rows], chunk.logits[rows], head, alpha)
            counts += torch.bincount((bins_of(states, bins) + first).flatten(), minlength=dim * bins)
    return counts.view(dim, bins)


def coverage(counts: Tensor, filled: float) -> Tensor:
    """``min(k, r) / r`` of the share k of rows in each bin, [D, bins]: one where a bin holds the share r or more.

    Examples
    --------
    >>> coverage(torch.tensor([[8, 1, 1, 0]]), filled=0.2)
    tensor([[1.0000, 0.5000, 0.5000, 0.0000]], dtype=torch.float64)
    """
    rows = counts.sum(1, keepdim=True).clamp(min=1)
    return (counts.double() / (filled * rows)).clamp(max=1)


def total_coverage(
    chunks: Iterable[Outputs], head: Head, alpha: float = 10.0, bins: int = 50, filled: float = 0.01
) -> float:
    """NAC-ME: the mean coverage of all bins of all penultimate neurons, from 0 to 1 [1].

    Models whose ID inputs reach more of the states of their neurons are expected to answer better under shift.

    Parameters
    ----------
    chunks : iterable of Outputs with logits, features and labels

    Examples
    --------
    >>> out = Outputs(torch.tensor([[0.0, 99.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([1]))
    >>> total_coverage([out], Head(torch.eye(2), torch.zeros(2)), bins=4)
    0.25

    References
    ----------
    [1] Liu, Tian, Li, Ma, Wang. Neuron Activation Coverage: Rethinking Out-of-distribution Detection and
        Generalization. ICLR 2024.
    """
    return float(coverage(state_counts(chunks, head, alpha, bins), filled).mean())

"""Softmax at a temperature that follows its own entropy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from outfield.errors import UserError

COEFFICIENTS = (-0.037, 0.481, -2.3, 4.917, -1.791)
"""Of the polynomial of degree 4 in the entropy that gives the inverse temperature [1]."""
SHARP = 0.5
"""Entropy in nats up to which a row is left as it is."""
TEMPERATURES = ("plain", "adaptive")


def adaptive_softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis; rows whose entropy H is above 0.5 are made sharper: ``softmax(max(1, p(H)) z)`` [1].

    Logits of minus infinity stand for places that are not there.

    Parameters
    ----------
    logits : Tensor [..., n]

    Examples
    --------
    >>> logits = torch.tensor([[5.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> adaptive_softmax(logits)[0].equal(logits.softmax(-1)[0])
    True
    >>> logits.softmax(-1)[1, 0], adaptive_softmax(logits)[1, 0]
    (tensor(0.5761), tensor(0.6310))

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """
    return (logits * inverse_temperature(entropy(logits.softmax(-1)))[..., None]).softmax(-1)


def inverse_temperature(entropies: Tensor) -> Tensor:
    """``max(1, p(H))`` of entropies H above 0.5, else exactly 1; p is the paper's polynomial."""
    fitted = torch.zeros_like(entropies)
    for coefficient in COEFFICIENTS:
        fitted = fitted * entropies + coefficient
    return torch.where(entropies > SHARP, fitted.clamp(min=1.0), 1.0)


def entropy(weights: Tensor) -> Tensor:
    """Shannon's entropy in nats of weights [..., n] that sum to 1."""
    found: Tensor = torch.special.entr(weights).sum(-1)
    return found


class Softmax(nn.Module):
    """Softmax over the last axis, as a layer: ``plain`` or ``adaptive`` (``adaptive_softmax``).

    Raises
    ------
    UserError
        Another temperature.
    """

    def __init__(self, temperature: str = "plain") -> None:
        super().__init__()
        if temperature not in TEMPERATURES:
            raise UserError(
                f"Expected a temperature among {', '.join(TEMPERATURES)}, but got {temperature!r}. Choose one of them."
            )
        self.temperature = temperature

    def extra_repr(self) -> str:
        return self.temperature

    def forward(self, logits: Tensor) -> Tensor:
        return adaptive_softmax(logits) if self.temperature == "adaptive" else logits.softmax(-1)

"""Gradients of the first forward pass with respect to its input, each computed once for all probes that ask."""

from __future__ import annotations

from typing import TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from outfield.types import Outputs

_Key: TypeAlias = "float | None"
_known: WeakKeyDictionary[Outputs, dict[_Key, Tensor]] = WeakKeyDictionary()


def of_predicted_logit(x: Tensor, first: Outputs) -> Tensor:
    """Gradient of each row's largest logit, shaped like ``x``."""
    return _once(x, first, None)


def of_cross_entropy(x: Tensor, first: Outputs, temperature: float) -> Tensor:
    """Gradient of ``CE(z / T, argmax z)``, each row up to a positive factor of its own, shaped like ``x``.

    The factor makes the largest part of ``softmax(z / T) - onehot`` one, so that nothing underflows for a sure
    model; signs and the order of magnitudes within a row are the gradient's.
    """
    return _once(x, first, temperature)


def _once(x: Tensor, first: Outputs, temperature: _Key) -> Tensor:
    known = _known.setdefault(first, {})
    if temperature not in known:
        direction = _onehot(first.logits) if temperature is None else _towards_doubt(first.logits, temperature)
        (known[temperature],) = torch.autograd.grad(first.logits, x, direction, retain_graph=True)
    return known[temperature]


def _onehot(logits: Tensor) -> Tensor:
    return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)


def _towards_doubt(logits: Tensor, temperature: float) -> Tensor:
    """``softmax(z / T) - onehot(argmax z)``, each row over its largest magnitude."""
    predicted = logits.argmax(1, keepdim=True)
    scaled = logits.detach().double() / temperature
    doubt = (scaled - scaled.scatter(1, predicted, -torch.inf).max(1, keepdim=True).values).exp()
    doubt.scatter_(1, predicted, 0.0)
    doubt.scatter_(1, predicted, -doubt.sum(1, keepdim=True))
    return (doubt / doubt.abs().max(1, keepdim=True).values).to(logits.dtype)

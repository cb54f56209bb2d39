"""What a model says along rays that leave its data: whether its uncertainty still changes, or has saturated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from outfield.errors import UserError
from outfield.models.base import Model

SCALES = (1.0, 10.0, 100.0, 1e3, 1e4)
FLAT = 1e-3
"""Norm of the gradient below which an uncertainty no longer changes."""


@dataclass(frozen=True, eq=False)
class RayProbe:
    """Uncertainty along rays.

    Attributes
    ----------
    scales : tuple of floats
        Distances from the start of each ray.
    confidence, entropy, gradient : array [rays, scales]
        Largest softmax probability; entropy of the softmax in nats; norm of the entropy's gradient by the input.
    """

    scales: tuple[float, ...]
    confidence: NDArray[np.float64]
    entropy: NDArray[np.float64]
    gradient: NDArray[np.float64]

    def flat(self, below: float = FLAT) -> NDArray[np.float64]:
        """Share of the rays whose uncertainty no longer changes, at each scale."""
        return np.asarray((self.gradient < below).mean(axis=0))

    def frame(self) -> pl.DataFrame:
        """A row a scale: medians over rays, and the share of flat ones."""
        return pl.DataFrame(
            {
                "scale": self.scales,
                "confidence": np.median(self.confidence, axis=0),
                "entropy": np.median(self.entropy, axis=0),
                "gradient": np.median(self.gradient, axis=0),
                "flat": self.flat(),
            }
        )

    def sentences(self) -> tuple[str, ...]:
        """What it means for a user: whether the model's own uncertainty can flag a far input."""
        at, flat, sure = self.scales[-1], self.flat()[-1], float(np.median(self.confidence[:, -1]))
        verdict = "cannot tell how far an input is" if flat >= 0.5 else "still changes far from the data"
        return (
            f"The model's uncertainty {verdict}: at distance {at:g} it no longer changes along {flat:.0%} of "
            f"{len(self.gradient)} rays, and the median confidence there is {sure:.3f}.",
        )


def ray_probe(
    model: Model, x: Tensor, directions: int | Tensor = 200, scales: Sequence[float] = SCALES, *, seed: int = 0
) -> RayProbe:
    r"""Follow a classifier's uncertainty along rays :math:`x + s d`, :math:`\|d\| = 1` (Ulmer and Cina 2021).

    A network of ReLUs is affine from some distance on, along almost every ray. The largest logit then outgrows the
    others, the softmax saturates, and confidence, entropy and what is made of them no longer say how far a point is.

    Parameters
    ----------
    model : Model
        A classifier whose inputs have gradients.
    x : Tensor, shape [n, ...]
        Inputs as ``forward`` takes them; rays start at them in turn.
    directions : int or Tensor, shape [rays, ...]
        How many directions to draw evenly, or the directions.
    scales : sequence of floats
        Distances, in the units of the input.
    seed : int
        Of the directions.

    Raises
    ------
    UserError
        No input, directions of another shape or of length 0, or no scale.

    Examples
    --------
    >>> from outfield import TorchModel
    >>> net = torch.nn.Linear(2, 2)
    >>> _ = net.weight.data.copy_(torch.eye(2)), net.bias.data.zero_()
    >>> model, start = TorchModel(net, np.zeros((1, 2))), torch.zeros(1, 2)
    >>> found = ray_probe(model, start, torch.tensor([[1.0, 0.0]]), scales=(0.0, 100.0))
    >>> found.confidence.round(3), found.flat()
    (array([[0.5, 1. ]]), array([1., 1.]))
    """
    if not len(x) or not len(scales):
        raise UserError("Expected inputs to start rays from, and scales, but got none. Pass at least one of each.")
    d = _directions(x, directions, seed)
    start = x[torch.arange(len(d)) % len(x)]
    with model.evaluating():
        found = [_uncertainty(model, start + scale * d) for scale in scales]
    columns = (torch.stack(column, dim=1).double().cpu().numpy() for column in zip(*found, strict=True))
    return RayProbe(tuple(map(float, scales)), *columns)


def _directions(x: Tensor, directions: int | Tensor, seed: int) -> Tensor:
    if isinstance(directions, int):
        drawn = torch.randn(directions, *x.shape[1:], generator=torch.Generator().manual_seed(seed))
        directions = drawn.to(x.device, x.dtype)
    if directions.shape[1:] != x.shape[1:] or not len(directions):
        raise UserError(
            f"Expected directions [rays, {', '.join(map(str, x.shape[1:]))}], as the inputs have, but got "
            f"{list(directions.shape)}. Pass one for each ray."
        )
    length = directions.flatten(1).norm(dim=1)
    if not (length > 0).all():
        raise UserError("Expected directions that lead somewhere, but one has length 0. Leave it out.")
    unit: Tensor = directions / length.reshape(-1, *[1] * (x.ndim - 1))
    return unit


def _uncertainty(model: Model, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence, entropy and the norm of its gradient at each point."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        log_p = model.forward(points).logits.log_softmax(dim=1)
        p = log_p.exp()
        entropy = -(p * log_p).sum(dim=1)
        (gradient,) = torch.autograd.grad(entropy.sum(), points)
    return p.detach().amax(dim=1), entropy.detach(), gradient.flatten(1).norm(dim=1)

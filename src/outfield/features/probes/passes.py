from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class Passes(Probe):
    """Logits of several networks for each input: the members of an ensemble, or dropout passes. ``KEY`` [n, T, C].

    A pass with dropout is one network, drawn by its seed: its masks are the same for all inputs, whatever their batch.

    Parameters
    ----------
    source : "features" or "model"
        "model": the members where the model is an ``Ensemble``, else passes with its own dropout layers at work, each
        at its own rate [1]. "features": dropout put on the penultimate features, before the head, so that networks that
        were trained without it give passes too; no forward pass is needed.
    samples : int
        T; an ensemble has as many as members.
    rate : float
        Share of the features that "features" drops.
    seed : int

    Raises
    ------
    UserError
        "model" for a network that has no layer of dropout; "features" for one without a linear head.

    Examples
    --------
    >>> from outfield.types import Head
    >>> first = Outputs(features=torch.ones(2, 8))
    >>> class Bare:
    ...     head = Head(torch.ones(3, 8), torch.zeros(3))
    >>> probe = Passes(samples=5)
    >>> probe(Bare(), None, first)[probe.key].shape
    torch.Size([2, 5, 3])

    References
    ----------
    [1] Gal, Ghahramani. Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning.
        ICML 2016.
    """

    source: Literal["features", "model"] = "features"
    samples: int = 20
    rate: float = 0.5
    seed: int = 0

    passes: ClassVar[int] = 0
    forwards: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.source == "model":
            for name in ("passes", "forwards"):
                object.__setattr__(self, name, self.samples)

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        with torch.no_grad():
            found = self._of_features(model, first) if self.source == "features" else self._of_model(model, x)
            return {self.key: torch.stack([*found], dim=1).float()}

    def _of_features(self, model: Model, first: Outputs) -> Iterator[Tensor]:
        if model.head is None:
            raise UserError(
                f"Expected a linear head to put dropout before, but {model.name!r} has none. "
                "Pass source='model' for a network with dropout, or leave this detector out."
            )
        rng = torch.Generator().manual_seed(self.seed)
        features = first.features.detach()
        for _ in range(self.samples):
            yield model.head(features * _mask(features.shape[1:], self.rate, rng).to(features))

    def _of_model(self, model: Model, x: Tensor) -> Iterator[Tensor]:
        if (members := getattr(model, "members", None)) is not None:
            yield from (member.forward(x.detach()).logits for member in members)
            return
        layers = [one for one in _modules(model) if isinstance(one, _DROPOUT)]
        if not any(layer.p > 0 for layer in layers):
            raise UserError(
                f"Expected a network with layers of dropout, or an ensemble, but {model.name!r} has none. "
                "Pass source='features', which puts dropout on its penultimate features."
            )
        for number in range(self.samples):
            with _dropping(layers, torch.Generator().manual_seed(self.seed + number)):
                yield model.forward(x.detach()).logits


def _modules(model: Model) -> Iterator[nn.Module]:
    module = getattr(model, "module", None)
    return iter(()) if module is None else module.modules()


@contextmanager
def _dropping(layers: Sequence[nn.Module], rng: torch.Generator) -> Iterator[None]:
    """Dropout at work in layers that are in evaluation mode, with one mask for all rows."""

    def drop(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        rate: Any = layer.p
        whole_channels = not isinstance(layer, nn.Dropout)
        shape = output.shape[1:2] + (1,) * (output.ndim - 2) if whole_channels else output.shape[1:]
        return output * _mask(torch.Size(shape), rate, rng).to(output)

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(drop).remove)
        yield


def _mask(shape: torch.Size, rate: float, rng: torch.Generator) -> Tensor:
    """Zero with probability ``rate``, else ``1 / (1 - rate)``."""
    kept = (torch.rand(shape, generator=rng) >= rate).float()
    return kept / max(1 - rate, 1e-12)

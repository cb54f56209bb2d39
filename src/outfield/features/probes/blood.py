from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes._maps import chosen
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class JacobianNorms(Probe):
    """Squared Frobenius norm of the Jacobian between each layer and the next, estimated by projections [1].

    ``|J|_F^2 = E |w^T J|^2`` for Gaussian w: the mean over ``projections`` of them, each a backward pass from one layer
    to the one before. All rows share the projections, so that a row's value does not depend on its batch. The value
    ``KEY`` [n, layers - 1] has the transitions in the order of the layers.

    Parameters
    ----------
    layers : names of layers
        In their order; empty for all that the model offers, less those on branches that no later one depends on.
    projections : int
    seed : int

    Raises
    ------
    UserError
        Fewer than two layers; layers of which one does not depend on that before it; layers without a graph.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> first = Outputs(layers={"a": x * 1.0, "b": 3 * x})
    >>> JacobianNorms(layers=("a", "b"))(None, x, first)
    Traceback (most recent call last):
    outfield.errors.UserError: Expected layers in their order, but b does not depend on a. ...

    References
    ----------
    [1] Jelenić, Jukić, Tutek, Puljiz, Šnajder. Out-of-Distribution Detection by Leveraging Between-Layer Transformation
        Smoothness. ICLR 2024.
    """

    layers: tuple[str, ...] = ()
    projections: int = 10
    seed: int = 0

    passes: ClassVar[int] = 10
    needs_layers: ClassVar[bool] = True
    needs_layer_graph: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        found = list(chosen(model, first, self.layers).items())
        if len(found) < 2:
            raise UserError(
                f"Expected at least two layers to differentiate between, but got {', '.join(dict(found))}. "
                "Name the layers of the model: layers=(...)."
            )
        if bare := [name for name, values in found if not values.requires_grad]:
            raise UserError(
                f"Expected activations with a graph, but those of {', '.join(bare)} have none. "
                "Let the network's weights require gradients, or leave this detector out."
            )
        return {self.key: torch.stack([*self._norms(found)][::-1], dim=1)}

    def _norms(self, layers: list[tuple[str, Tensor]]) -> Iterator[Tensor]:
        """Estimated squared norms [n] from the last transition to the first, past branches that lead nowhere."""
        (following, end), linked = layers[-1], False
        for name, start in layers[-2::-1]:
            norms = self._norm(start, end)
            if norms is not None:
                yield norms
                (following, end), linked = (name, start), True
            elif self.layers or (name == layers[0][0] and not linked):
                raise UserError(
                    f"Expected layers in their order, but {following} does not depend on {name}. "
                    "Name layers that follow each other."
                )

    def _norm(self, start: Tensor, end: Tensor) -> Tensor | None:
        rng = torch.Generator().manual_seed(self.seed)
        projections = [torch.randn(end.shape[1:], generator=rng).to(end) for _ in range(self.projections)]
        found = [_product(w, start, end) for w in projections]
        squares = [product.flatten(1).square().sum(1) for product in found if product is not None]
        return torch.stack(squares).mean(0) if squares else None


def _product(w: Tensor, start: Tensor, end: Tensor) -> Tensor | None:
    """``w^T J`` for each row, shaped like the first layer; None where the second does not depend on it."""
    (found,) = torch.autograd.grad(end, start, w.expand_as(end), retain_graph=True, allow_unused=True)
    return None if found is None else found.detach()

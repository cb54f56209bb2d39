from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.features.row_chunks import CELLS
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class ChannelCorrelations(Probe):
    """Row sums of the Gram matrices of layers, of several orders [1].

    For an activation a [C, HW] and order q: ``g = sgn(r) |r|^(1/q)`` with ``r`` the row sums of ``a^q (a^q)^T``,
    computed as ``a^q ((a^q)^T 1)``. A value ``KEY/LAYER`` [n, orders * C] for each layer, order by order.

    Parameters
    ----------
    powers : int
        Orders 1 to ``powers``.
    layers : names of layers
        Empty for all that the model offers. Their second dimension is the channel.

    Raises
    ------
    UserError
        The model has no layer of that name, or none at all.

    Examples
    --------
    >>> maps = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    >>> probe = ChannelCorrelations(powers=1, layers=("block",))
    >>> probe(None, None, Outputs(layers={"block": maps}))[f"{probe.key}/block"]
    tensor([[ 8., 12.]])

    References
    ----------
    [1] Sastry, Oore. Detecting Out-of-Distribution Examples with Gram Matrices. ICML 2020.
    """

    powers: int = 5
    layers: tuple[str, ...] = ()

    needs_layers: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        names = self.layers or model.layers
        if not names or not set(names) <= set(first.layers):
            raise UserError(
                f"Expected activations of the layers {', '.join(names) or '(the model offers none)'}, but got "
                f"{', '.join(first.layers) or 'none'}. Choose layers that the model has."
            )
        return {f"{self.key}/{name}": self._correlations(first.layers[name].detach()) for name in names}

    def _correlations(self, activation: Tensor) -> Tensor:
        maps = activation.reshape(*activation.shape[:2], -1)
        cells = _CACHED if maps.device.type == "cpu" else CELLS // 4
        return torch.cat([self._row_sums(some) for some in maps.split(max(1, cells // maps[0].numel()))])

    def _row_sums(self, maps: Tensor) -> Tensor:
        activations = maps.double()
        power, roots = activations.clone(), []
        for q in range(1, self.powers + 1):
            roots.append(_roots(power, q))
            power.mul_(activations)
        return torch.cat(roots, dim=1).float()


_CACHED = 1 << 16
"""Float64 numbers that stay in the cache of a processor from one power to the next."""


def _roots(powered: Tensor, q: int) -> Tensor:
    sums = torch.bmm(powered, powered.sum(dim=1)[:, :, None]).squeeze(2)
    return sums.sign() * sums.abs().pow(1 / q)

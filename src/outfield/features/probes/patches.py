from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from outfield.features.probes._maps import chosen
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class Patches(Probe):
    """Local features of an intermediate map: means of 3 x 3 places, on a grid of at most ``side`` x ``side`` [1].

    The value ``KEY`` is [n, places, channels]. Tokens [n, T, D] are places as they are.

    Parameters
    ----------
    layer : str
        Empty for the last but one, or the only one.
    side : int

    Raises
    ------
    UserError
        The model has no such layer.

    Examples
    --------
    >>> import torch
    >>> patches = Patches(layer="block", side=2)
    >>> first = Outputs(layers={"block": torch.ones(1, 3, 4, 4)})
    >>> patches(None, None, first)[patches.key].shape
    torch.Size([1, 4, 3])

    References
    ----------
    [1] Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler. Towards Total Recall in Industrial Anomaly Detection. CVPR 2022.
    """

    layer: str = ""
    side: int = 8

    needs_layers: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        found = list(chosen(model, first, (self.layer,) if self.layer else ()).values())
        values = found[-2:][0].detach().float()
        if values.ndim < 4:
            return {self.key: values.reshape(len(values), -1, values.shape[-1])}
        maps = functional.avg_pool2d(values, 3, stride=1, padding=1)
        height, width = (min(self.side, places) for places in maps.shape[2:])
        return {self.key: functional.adaptive_avg_pool2d(maps, (height, width)).flatten(2).transpose(1, 2).contiguous()}

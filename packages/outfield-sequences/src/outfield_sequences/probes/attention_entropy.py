from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs
from outfield_sequences.softmax import entropy


@dataclass(frozen=True)
class AttentionEntropy(Probe):
    """Entropy [n, 1] in nats of the attention that a layer gives out, the mean over heads and queries where there are.

    Parameters
    ----------
    layer : str
        Its output [n, ..., places] sums to 1 over the last axis.

    Raises
    ------
    UserError
        The model does not show that layer.
    """

    layer: str = "attention"

    needs_layers: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        if self.layer not in first.layers:
            raise UserError(
                f"Expected a model that shows the layer {self.layer!r}, but it shows "
                f"{', '.join(first.layers) or 'none'}. Name the layer whose output is the attention."
            )
        weights = first.layers[self.layer].detach()
        return {self.key: entropy(weights).reshape(len(weights), -1).mean(dim=1, keepdim=True)}

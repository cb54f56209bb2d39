from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from outfield.errors import UserError
from outfield.strategies.adamw import AdamW
from outfield.strategies.base import MakeNetwork
from outfield.tasks.base import Task
from outfield.types import Batch
from outfield_sequences.softmax import Softmax


@dataclass(frozen=True, kw_only=True)
class AdaptiveTemperature(AdamW):
    """Training as with ``adamw``, and attention at an adaptive temperature when it is done [1].

    With equal parameters and seeds the weights are those of ``adamw``, so that the two differ by the temperature alone.

    Raises
    ------
    UserError
        A network without ``outfield_sequences.softmax.Softmax``.

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _adaptive(make())

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return _adaptive(network)


def _adaptive(network: nn.Module) -> nn.Module:
    layers = [layer for layer in network.modules() if isinstance(layer, Softmax)]
    if not layers:
        raise UserError(
            f"Expected a network whose attention is a Softmax of outfield_sequences, but {type(network).__name__} has "
            "none. Choose the network max_attention."
        )
    for layer in layers:
        layer.temperature = "adaptive"
    return network

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.features.probes._gradients import of_cross_entropy
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class PerturbedLogits(Probe):
    """Logits after one small step that makes the model surer of its own prediction [1].

    ``x' = x - epsilon sign(grad_x CE(z / T, argmax z)) / std``, with std what the preprocessing divides by, so
    that the step is of one size in pixels; no step where the gradient is zero. Probes of one T share the backward pass.

    Parameters
    ----------
    temperature : float
        T.
    epsilon : float
        Step, for pixels in [0, 1].

    Examples
    --------
    >>> PerturbedLogits(epsilon=0.002).key
    'odin(temperature=1000.0,epsilon=0.002)'

    References
    ----------
    [1] Liang, Li, Srikant. Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks.
        ICLR 2018.
    """

    temperature: float = 1000.0
    epsilon: float = 0.0014

    passes: ClassVar[int] = 2
    forwards: ClassVar[int] = 1
    needs_graph: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        step = self.epsilon * of_cross_entropy(x, first, self.temperature).sign() / model.input_std.to(x)
        with torch.no_grad():
            return {self.key: model.forward(x.detach() - step).logits}

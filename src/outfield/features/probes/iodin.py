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
class OneNumberPerturbed(Probe):
    """Logits after a step of ODIN on the one number of the input that the loss is most sensitive to [1].

    ``x'_j = x_j - epsilon sign(g_j) / std`` for ``j = argmax |g|``, ``g = grad_x CE(z / T, argmax z)``: one channel of
    one pixel. All other numbers stay.

    Parameters
    ----------
    temperature : float
        T.
    epsilon : float
        Step, for pixels in [0, 1].

    Examples
    --------
    >>> OneNumberPerturbed(epsilon=0.1).key
    'iodin(temperature=1000.0,epsilon=0.1)'

    References
    ----------
    [1] Regmi. Going Beyond Conventional OOD Detection. arXiv 2411.10794, 2024.
    """

    temperature: float = 1000.0
    epsilon: float = 0.0014

    passes: ClassVar[int] = 2
    forwards: ClassVar[int] = 1
    needs_graph: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        gradient = of_cross_entropy(x, first, self.temperature).flatten(1)
        largest = gradient.abs().argmax(1, keepdim=True)
        step = torch.zeros_like(gradient).scatter_(1, largest, self.epsilon * gradient.gather(1, largest).sign())
        with torch.no_grad():
            return {self.key: model.forward(x.detach() - step.view_as(x) / model.input_std.to(x)).logits}

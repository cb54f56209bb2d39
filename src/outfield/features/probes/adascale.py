from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.features.probes._gradients import of_predicted_logit
from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class PerturbedFeatures(Probe):
    """Features after a step on the inputs' least important parts [1].

    ``x' = x + step sign(grad_x max_c z_c)`` on the ``share`` of the input's numbers with the smallest gradient
    magnitudes; the other numbers stay.

    Parameters
    ----------
    share : float
        From 0 to 1.
    step : float
        In units of the prepared input.

    Examples
    --------
    >>> PerturbedFeatures(share=0.1).key, PerturbedFeatures.passes
    ('adascale(share=0.1,step=0.5)', 2)

    References
    ----------
    [1] Regmi. AdaSCALE: Adaptive Scaling for OOD Detection. arXiv 2503.08023, 2025.
    """

    share: float = 0.05
    step: float = 0.5

    passes: ClassVar[int] = 2
    forwards: ClassVar[int] = 1
    needs_graph: ClassVar[bool] = True

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        gradient = of_predicted_logit(x, first).flatten(1)
        least = gradient.abs().topk(round(self.share * gradient.shape[1]), dim=1, largest=False).indices
        step = torch.zeros_like(gradient).scatter_(1, least, self.step * gradient.gather(1, least).sign())
        with torch.no_grad():
            return {self.key: model.forward(x.detach() + step.view_as(x)).features}

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Beta, Dirichlet
from torch.nn import functional

from outfield.strategies import _pictures
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class AugMix(PictureStrategy):
    """Mixtures of augmentation chains, and a Jensen-Shannon term that asks for one answer to all of them [1].

    ``chains`` chains of one to three operations are mixed with Dirichlet weights, the mixture with the picture
    with a Beta weight. The loss is the cross-entropy of the clean picture plus ``weight`` times
    ``JS(p_clean, p_1, p_2)`` of it and two such mixtures.

    Parameters
    ----------
    chains : int
    strength : float
        Share of each operation's greatest strength; the paper's severity 3 of 10 is 0.3.
    weight : float
        12 in the paper.

    Examples
    --------
    >>> p = torch.tensor([[0.5, 0.5]])
    >>> _divergence([p.log(), p.log(), p.log()])
    tensor(0.)

    References
    ----------
    [1] Hendrycks, Mu, Cubuk, Zoph, Gilmer, Lakshminarayanan. AugMix: A Simple Data Processing Method to Improve
    Robustness and Uncertainty. ICLR 2020.
    """

    chains: int = 3
    strength: float = 0.3
    weight: float = 12.0

    family: ClassVar[str] = "augmentation"
    limits: ClassVar = {"chains": (1, 100), "strength": (0.0, 1.0), "weight": (0.0, 1000.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        x = batch.x
        logits = network(torch.cat([x, self._mixed(x), self._mixed(x)])).chunk(3)
        clean = functional.cross_entropy(logits[0], batch.targets)
        return clean + self.weight * _divergence([view.log_softmax(1) for view in logits])

    def _mixed(self, x: Tensor) -> Tensor:
        weights = Dirichlet(torch.ones(self.chains)).sample((len(x),)).to(x.device)
        chains = sum(_pictures.per_picture(weights[:, i]) * self._chain(x) for i in range(self.chains))
        kept = _pictures.per_picture(Beta(1.0, 1.0).sample((len(x),)).to(x.device))
        return kept * x + (1 - kept) * chains

    def _chain(self, x: Tensor) -> Tensor:
        for _ in range(int(torch.randint(1, 4, ()))):
            x = _pictures.one_of(_OPERATIONS, x, self.strength * _pictures.random_strengths(x))
        return x


_OPERATIONS = (*_pictures.GEOMETRIC, _pictures.posterize, _pictures.solarize)
"""Those of the paper: none that the usual corruptions contain."""


def _divergence(logs: list[Tensor]) -> Tensor:
    """Jensen-Shannon divergence of distributions given as logarithms, mean over rows."""
    mean = torch.stack([log.exp() for log in logs]).mean(0).clamp(1e-7, 1).log()
    each = [functional.kl_div(mean, log, reduction="batchmean", log_target=True) for log in logs]
    return torch.stack(each).mean()

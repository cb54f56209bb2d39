from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies.base import Optimizers, PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class Evidential(PictureStrategy):
    """Exponential logits are evidence for a class; a Dirichlet distribution of ``alpha = exp z + 1`` is learned [1].

    The expected square of ``y - p`` under it, plus ``t`` times its divergence from the even one once the evidence for
    the right class is taken off; t rises from 0 to 1 over the share ``rise`` of the steps. The paper's uncertainty,
    ``C / sum_c alpha_c``, is ranked by the detector ``energy``.

    Parameters
    ----------
    rise : float

    Examples
    --------
    >>> evidence = torch.tensor([[2.0, 0.0]])
    >>> expected_square(evidence + 1, torch.eye(2)[:1])  # (1/4)^2 twice, and variances of 3/80 each
    tensor([0.2000])

    References
    ----------
    [1] Sensoy, Kaplan, Kandemir. Evidential Deep Learning to Quantify Classification Uncertainty. NeurIPS 2018.
    """

    rise: float = 0.5

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"rise": (0.0, 1.0)}

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        over = max(1.0, self.rise * optimizers.total)
        alpha = network(batch.x).clamp(-10, 10).exp() + 1
        rest = batch.targets + (1 - batch.targets) * alpha
        divergence = divergence_from_even(rest)
        share = min(1.0, optimizers.step / over)
        optimizers.descend((expected_square(alpha, batch.targets) + share * divergence).mean())


def expected_square(alpha: Tensor, targets: Tensor) -> Tensor:
    """``E |y - p|^2`` under the Dirichlet distribution, [n]."""
    total = alpha.sum(1, keepdim=True)
    mean = alpha / total
    return ((targets - mean).square() + mean * (1 - mean) / (total + 1)).sum(1)


def divergence_from_even(alpha: Tensor) -> Tensor:
    """``KL(Dirichlet(alpha) || Dirichlet(1))``, [n].

    Examples
    --------
    >>> divergence_from_even(torch.ones(1, 3)).abs() < 1e-6
    tensor([True])
    """
    even = torch.distributions.Dirichlet(torch.ones_like(alpha))
    found: Tensor = torch.distributions.kl_divergence(torch.distributions.Dirichlet(alpha), even)
    return found

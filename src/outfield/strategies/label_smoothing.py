from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class LabelSmoothing(PictureStrategy):
    """Targets ``(1 - e) y + e / C`` in the place of ``y`` [1].

    Parameters
    ----------
    smoothing : float
        e.

    Examples
    --------
    >>> import torch
    >>> from outfield.tasks.classify import Classify
    >>> sure = Batch(torch.tensor([[9.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    >>> [round(LabelSmoothing(smoothing=e).loss(nn.Identity(), sure, Classify()).item(), 3) for e in (0.0, 0.2)]
    [0.0, 0.9]

    References
    ----------
    [1] Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
    """

    smoothing: float = 0.1

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"smoothing": (0.0, 1.0)}

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return functional.cross_entropy(network(batch.x), batch.targets, label_smoothing=self.smoothing)

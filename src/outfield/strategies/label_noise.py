from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.strategies.base import Strategy


@dataclass(frozen=True)
class LabelNoise(Strategy):
    """The baseline with wrong labels: a share of the training labels is drawn anew from the other classes [1].

    Parameters
    ----------
    share : float
        Share of wrong labels, chosen once, before training.

    Examples
    --------
    >>> _, labels = LabelNoise(share=1.0).data(torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), classes=2)
    >>> labels
    tensor([1, 0, 1, 0])

    References
    ----------
    [1] Zhang, Bengio, Hardt, Recht, Vinyals. Understanding Deep Learning Requires Rethinking Generalization. ICLR 2017.
    """

    share: float = 0.6

    family: ClassVar[str] = "label noise"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def data(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        wrong = torch.randperm(len(labels))[: round(self.share * len(labels))]
        labels = labels.clone()
        labels[wrong] = (labels[wrong] + torch.randint(1, classes, wrong.shape)) % classes
        return images, labels

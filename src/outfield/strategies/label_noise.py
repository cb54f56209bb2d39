from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class LabelNoise(PictureStrategy):
    """The baseline with wrong labels: a share of the training labels is drawn anew from the other classes [1].

    Parameters
    ----------
    share : float
        Share of wrong labels, chosen once, before training.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> LabelNoise(share=1.0).data(Batch(torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])), Classify()).y
    tensor([1, 0, 1, 0])

    References
    ----------
    [1] Zhang, Bengio, Hardt, Recht, Vinyals. Understanding Deep Learning Requires Rethinking Generalization. ICLR 2017.
    """

    share: float = 0.6

    family: ClassVar[str] = "label noise"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def data(self, data: Batch, task: Task) -> Batch:
        labels = data.targets.clone()
        classes = int(labels.max()) + 1
        wrong = torch.randperm(len(labels))[: round(self.share * len(labels))]
        labels[wrong] = (labels[wrong] + torch.randint(1, classes, wrong.shape)) % classes
        return replace(data, y=labels)

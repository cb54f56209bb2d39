from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class LabelNoise(PictureStrategy):
    """The baseline with wrong labels: a share of the training labels is changed once, before training [1, 2].

    Three kinds: ``uniform``, drawn anew from the other classes; ``class`` (class-dependent), each class for the next
    one alone, as an annotator confuses two classes [3]; ``human``, where a picture that looks like another class gets
    that one's label: the pictures that lie nearest to the mean of another class, against their own, are changed, as
    human annotators err on ambiguous pictures. Of ``class`` and ``human`` noise the same share of every class is wrong,
    so that the transition matrix is realised to within one picture.

    Parameters
    ----------
    share : float
        Share of wrong labels.
    kind : ``uniform``, ``class`` or ``human``

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> LabelNoise(share=1.0).data(Batch(torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])), Classify()).y
    tensor([1, 0, 1, 0])
    >>> labels = torch.tensor([0, 0, 1, 1, 2, 2])
    >>> noisy = LabelNoise(share=0.5, kind="class").data(Batch(torch.zeros(6, 1, 2, 2), labels), Classify())
    >>> transitions(labels, noisy.y)[0]
    tensor([0.5000, 0.5000, 0.0000], dtype=torch.float64)

    References
    ----------
    [1] Zhang, Bengio, Hardt, Recht, Vinyals. Understanding Deep Learning Requires Rethinking Generalization. ICLR 2017.
    [2] Humblot-Renaux, Escalera, Moeslund. A Noisy Elephant in the Room: Is Your Out-of-Distribution Detector Robust to
    Label Noise? CVPR 2024.
    [3] Patrini, Rozza, Menon, Nock, Qu. Making Deep Neural Networks Robust to Label Noise. CVPR 2017.
    """

    share: float = 0.6
    kind: Literal["uniform", "class", "human"] = "uniform"

    family: ClassVar[str] = "label noise"
    limits: ClassVar = {"share": (0.0, 1.0)}

    def data(self, data: Batch, task: Task) -> Batch:
        labels = data.targets.clone()
        classes = int(labels.max()) + 1
        if self.kind == "uniform":
            wrong = torch.randperm(len(labels))[: round(self.share * len(labels))]
            labels[wrong] = (labels[wrong] + torch.randint(1, classes, wrong.shape)) % classes
            return replace(data, y=labels)
        order = torch.randperm(len(labels))
        nearest, doubt = (labels + 1) % classes, order.double()
        if self.kind == "human":
            nearest, doubt = _likeness(data.x.flatten(1).double(), labels, classes)
        wrong = torch.cat([_most(doubt, data.targets == c, self.share) for c in range(classes)])
        labels[wrong] = nearest[wrong]
        return replace(data, y=labels)


def transitions(labels: Tensor, noisy: Tensor) -> Tensor:
    """The transition matrix [C, C]: of the pictures of each class, the share that bears each label.

    Examples
    --------
    >>> transitions(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    tensor([[0.5000, 0.5000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    classes = int(torch.maximum(labels.max(), noisy.max())) + 1
    counts = torch.bincount(classes * labels + noisy, minlength=classes**2).reshape(classes, classes).double()
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


def _likeness(x: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The other class whose mean is nearest to each picture, and how much nearer it is than its own, [n] each."""
    means = torch.stack([x[labels == c].mean(dim=0) for c in range(classes)])
    distance = torch.cdist(x, means)
    own = distance.gather(1, labels[:, None])[:, 0]
    others, nearest = distance.scatter(1, labels[:, None], torch.inf).min(dim=1)
    return nearest, own - others


def _most(doubt: Tensor, some: Tensor, share: float) -> Tensor:
    """The rows of a share of some pictures, those of most doubt."""
    rows = some.nonzero()[:, 0]
    return rows[doubt[rows].argsort(descending=True, stable=True)[: round(share * len(rows))]]

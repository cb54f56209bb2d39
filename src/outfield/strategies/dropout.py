from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from outfield.models.heads import last_linear
from outfield.strategies._parts import lifted
from outfield.strategies.base import MakeNetwork, PictureStrategy
from outfield.tasks.base import Task


@dataclass(frozen=True)
class Dropout(PictureStrategy):
    """Features are dropped by chance before the head, in training [1], and in passes of the finished network [2].

    These Monte Carlo passes are those of the detector ``uncertainty`` with ``source: model``.

    Parameters
    ----------
    rate : float
        Share that is dropped.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> Dropout(rate=0.2).network(lambda: nn.Linear(3, 2), Classify(classes=2)).lift
    Dropout(p=0.2, inplace=False)

    References
    ----------
    [1] Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov. Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting. JMLR 2014.
    [2] Gal, Ghahramani. Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning. ICML
    2016.
    """

    rate: float = 0.3

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"rate": (0.0, 1.0)}

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        network = make()
        return lifted(network, nn.Dropout(self.rate), last_linear(network)[1])

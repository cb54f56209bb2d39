from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.detectors._cosines import cosines
from outfield.detectors.base import Detector
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Cosine(Detector):
    """Largest cosine between the feature and the weights of a class, ``-max_c cos(f, w_c)`` [1].

    Without a scale that is learned: the paper trains a network whose logits are such cosines; here it is any network.

    Examples
    --------
    >>> import torch
    >>> from outfield.types import Head
    >>> head = Head(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.zeros(2))
    >>> Cosine().score(Outputs(features=torch.tensor([[2.0, 0.0], [1.0, 1.0]]), head=head), {})
    tensor([-1.0000, -0.7071])

    References
    ----------
    [1] Techapanurak, Suganuma, Okatani. Hyperparameter-Free Out-of-Distribution Detection Using Cosine Similarity.
        ACCV 2020.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"

    def score(self, out: Outputs, state: State) -> Tensor:
        return -cosines(out).amax(1)

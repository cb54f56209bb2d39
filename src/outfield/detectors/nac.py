from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.banks import Bank
from outfield.features.coverage import bins_of, coverage, neuron_states, state_counts
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class NAC(Detector):
    """Neuron activation coverage: minus the mean coverage of the states of the penultimate neurons [1].

    The state of a neuron z is ``sigmoid(alpha z dKL(u || p) / dz)``, u uniform and p the softmax; its gradient is
    ``(p - u) W``, so that no backward pass is needed. Training rows that are predicted right fill a histogram of each
    neuron; the coverage of a bin with the share k of them is ``min(k, r) / r``. Penultimate layer alone.

    Parameters
    ----------
    alpha : float
        Steepness of the sigmoid. It goes with the scale of features and weights: the authors choose it for each layer
        of each network, from .001 to 5,000, and 100 for the last of ResNet-18 on CIFAR-10. Tune it.
    bins : int
        M equal bins between 0 and 1.
    filled : float
        r, the share of the rows from which a bin is covered in full; the authors ask for 10 or 50 of 1,000.
    limit : int
        Training rows of the histograms: all of a smaller set, else so many, drawn at random.
    seed : int
        Of the draw.

    Raises
    ------
    UserError
        By ``fit``, where no row is predicted right.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> train = Outputs(torch.tensor([[9.0, 0.0]]), torch.tensor([[9.0, 0.0]]), torch.tensor([0]), head)
    >>> state = NAC().fit(FitData.of(train))
    >>> features = torch.tensor([[9.0, 0.0], [9.0, 1.0]])
    >>> NAC().score(Outputs(features, features, head=head), state)
    tensor([-1.0000, -0.5000], dtype=torch.float64)

    References
    ----------
    [1] Liu, Tian, Li, Ma, Wang. Neuron Activation Coverage: Rethinking Out-of-distribution Detection and
        Generalization. ICLR 2024.
    """

    alpha: float = 10.0
    bins: int = 50
    filled: float = 0.01
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "features", "head"})
    information: ClassVar[str] = "gradients"
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head", "classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"alpha": (1.0, 10.0, 100.0), "filled": (0.01, 0.05)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "alpha": (1e-9, 1e9),
        "bins": (1, 1e5),
        "filled": (1e-9, 1),
        "limit": (1, 1e9),
        "seed": (0, 2**62),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (self._bank,)

    @property
    def _bank(self) -> Bank:
        return Bank(("features", "logits", "labels"), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        counts = state_counts(data.fold(self._bank).chunks(), data.head, self.alpha, self.bins)
        if not counts.any():
            raise UserError(
                "Expected training rows that the model predicts right, but there is none. Train the model further, "
                "or choose another detector."
            )
        return {"coverage": coverage(counts, self.filled)}

    def score(self, out: Outputs, state: State) -> Tensor:
        neurons, head = torch.arange(len(state["coverage"]), device=out.features.device), out.head

        def uncovered(features: Tensor, logits: Tensor) -> Tensor:
            states = neuron_states(features, logits, head, self.alpha)
            return -state["coverage"][neurons, bins_of(states, self.bins)].mean(1)

        return in_pieces(uncovered, 4 * len(neurons), out.features, out.logits)

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.detectors._density import Trained, log_volume
from outfield.detectors._flow import RealNVP
from outfield.types import Outputs, State


@dataclass(frozen=True)
class FlowCon(Trained):
    """Minus the largest class log-likelihood of the features under a flow, ``-max_c log p(f | c)`` [1].

    A RealNVP takes features to latents where each class is a Gaussian of its own mean and deviations, which are learned
    with it. The loss is the negative log-likelihood under the row's class, plus ``weight`` times a supervised
    contrastive loss [2]. Its similarity of rows i and j is the Bhattacharyya coefficient of the likelihoods of latent i
    under the classes of both, ``sqrt(p(z_i | y_i) p(z_i | y_j))``, per element, over the row's largest in the batch.

    Parameters
    ----------
    weight : float
        Of the contrastive loss; the likelihood is in nats per element.
    temperature : float
        Of the contrastive loss.
    couplings, hidden : int, int
        Layers of the flow; hidden units of the networks in each.

    Examples
    --------
    >>> features = torch.tensor([[3.0, 0.1], [-3.0, 0.2], [3.1, -0.2], [-3.1, -0.1]])
    >>> train = Outputs(torch.zeros(4, 2), features, torch.tensor([0, 1, 0, 1]))
    >>> from outfield.features.fit_data import FitData
    >>> flowcon = FlowCon(epochs=50)
    >>> state = flowcon.fit(FitData.of(train))
    >>> near, far = flowcon.score(Outputs(features=torch.tensor([[3.0, 0.0], [0.0, 9.0]])), state)
    >>> bool(near < far)
    True

    References
    ----------
    [1] Aathreya, Canavan. FlowCon: Out-of-Distribution Detection using Flow-Based Contrastive Learning. ECCV 2024.
    [2] Khosla et al. Supervised Contrastive Learning. NeurIPS 2020.
    """

    weight: float = 1.0
    temperature: float = 0.1
    couplings: int = 6
    hidden: int = 64

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    by_default: ClassVar[bool] = False
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Trained.bounds,
        "weight": (0, 1e6),
        "temperature": (1e-6, 1e6),
        "couplings": (1, 1000),
        "hidden": (1, 1e6),
    }

    def network(self, shape: torch.Size) -> nn.Module:
        return _ClassFlow(shape.numel(), self.couplings, self.hidden)

    def begin(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> None:
        assert isinstance(network, _ClassFlow) and labels is not None
        network.see(x.flatten(1), labels)

    def loss(self, network: nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        found: Tensor = network(x) / x[0].numel()
        likelihood = found.gather(1, labels[:, None]).mean()
        total: Tensor = -likelihood + self.weight * contrastive(found, labels, self.temperature)
        return total

    def score(self, out: Outputs, state: State) -> Tensor:
        rows = self.rows(out)
        likelihoods: Tensor = self.answers(rows, state)
        return log_volume(rows.shape[1:], state) - likelihoods.amax(1)


class _ClassFlow(nn.Module):
    """The log-likelihood of rows under each class, [n, C]: a flow, and a Gaussian a class in its latents."""

    def __init__(self, dim: int, couplings: int, hidden: int) -> None:
        super().__init__()
        self.flow = RealNVP(dim, couplings, hidden)
        self.means, self.log_deviations = nn.Parameter(torch.zeros(1, dim)), nn.Parameter(torch.zeros(1, dim))

    def see(self, x: Tensor, labels: Tensor) -> None:
        """Begin with the class means of the rows, and with the deviation within classes that is usual."""
        means = torch.stack([x[labels == number].mean(0) for number in range(int(labels.max()) + 1)])
        usual = (x - means[labels]).square().mean().clamp(min=1e-4).log() / 2
        self.means, self.log_deviations = nn.Parameter(means), nn.Parameter(usual * torch.ones_like(means))

    def forward(self, x: Tensor) -> Tensor:
        z, volume = self.flow(x)
        inverse = (-self.log_deviations).exp()
        each = [((z - mean) * unit).square().sum(1) for mean, unit in zip(self.means, inverse, strict=True)]
        squares = torch.stack(each, dim=1)
        heights = self.log_deviations.sum(1) + z.shape[1] * math.log(2 * math.pi) / 2
        likelihoods: Tensor = volume[:, None] - squares / 2 - heights
        return likelihoods


def contrastive(likelihoods: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss of log-likelihoods [n, C] under the classes, per element.

    The similarity of rows i and j is ``exp(b_ij - max_j b_ij)``, ``b_ij = (log p(z_i | y_i) + log p(z_i | y_j)) / 2``.

    Examples
    --------
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> apart = 9 * (2.0 * nn.functional.one_hot(labels) - 1)
    >>> bool(contrastive(apart, labels, 0.1) < contrastive(0 * apart, labels, 0.1))
    True
    """
    pairs = (likelihoods[:, labels] + likelihoods.gather(1, labels[:, None])) / 2
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similarity = (pairs - pairs.amax(1, keepdim=True)).exp() / temperature
    log_share = similarity.masked_fill(itself, -torch.inf).log_softmax(dim=1).masked_fill(itself, 0)
    positive = (labels[:, None] == labels) & ~itself
    each = -(log_share * positive).sum(1) / positive.sum(1).clamp(min=1)
    return each.mean()

"""The linear head of a network: taken off, put on, fitted to frozen features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.models.heads import last_linear


def with_head(network: nn.Module, name: str, head: nn.Module) -> nn.Module:
    """The network with the module ``name`` replaced, in place."""
    if not name:
        return head
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, head)
    return network


def with_projector(network: nn.Module, size: int) -> nn.Module:
    """The network with a two-layer projection in the place of its head."""
    name, head = last_linear(network)
    width = head.in_features
    return with_head(network, name, nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size)))


def without_projector(network: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    """The network with a linear head, fitted to its frozen features, in the place of its projection."""
    name = last_linear(network)[0].rpartition(".")[0]
    features = _answers(with_head(network, name, nn.Identity()), images)
    return with_head(network, name, fitted_head(features, labels, int(labels.max()) + 1))


def features(network: nn.Module, x: Tensor) -> Tensor:
    """What goes into the head, with its gradients, from one forward pass."""
    return features_and_answer(network, x, last_linear(network)[1])[0]


def features_and_answer(network: nn.Module, x: Tensor, above: nn.Module) -> tuple[Tensor, Tensor]:
    """What goes into a module of the network, and what the network says, from one forward pass."""
    seen: list[Tensor] = []
    handle = above.register_forward_pre_hook(lambda *given: seen.append(given[1][0]))
    try:
        answer: Tensor = network(x)
    finally:
        handle.remove()
    return seen[-1], answer


def fitted_head(features: Tensor, labels: Tensor, classes: int, decay: float = 1e-4) -> nn.Linear:
    """The linear layer of least cross-entropy plus ``decay / 2`` times its squared weights, by L-BFGS from zero."""
    head = nn.Linear(features.shape[1], classes).to(features.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    search = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        search.zero_grad()
        loss = functional.cross_entropy(head(features), labels) + decay / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    search.step(objective)
    return head


@torch.no_grad()
def _answers(network: nn.Module, images: Tensor, size: int = 1024) -> Tensor:
    network.eval()
    return torch.cat([network(chunk) for chunk in images.split(size)])


def fixed_features(network: nn.Module, images: Tensor, size: int = 1024) -> Tensor:
    """What goes into the head when the network does not learn, [n, D]."""
    network.eval()
    with torch.no_grad():
        return torch.cat([features(network, chunk) for chunk in images.split(size)])

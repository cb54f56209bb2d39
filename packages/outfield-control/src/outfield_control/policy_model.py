"""A policy as a model that can be measured: its forward pass plays episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from outfield import keys
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.preprocess import Table, code_of
from outfield.types import Outputs
from outfield_control.play import Policy, play
from outfield_control.world import COLUMNS


class PolicyModel:
    """A policy that plays the episodes that it is given: predictions are returns, features its pooled hidden states.

    Parameters
    ----------
    policy : nn.Module that is a ``Policy``
    name : str
    device : str, optional
        Where the policy is put; by default it stays where it is.

    Raises
    ------
    UserError
        A module that is no policy.

    Examples
    --------
    >>> from outfield_control.networks.policy_mlp import PolicyMLP
    >>> from outfield_control.sources.point_mass_episodes import PointMassEpisodes
    >>> model, episodes = PolicyModel(PolicyMLP()), PointMassEpisodes(2).load().read(slice(None))
    >>> model.forward(model.prepare(episodes))
    Outputs(features [2, 64], predictions [2])
    """

    head = None
    classes = None
    layers: tuple[str, ...] = ()
    offers = frozenset({"features"})

    def __init__(self, policy: nn.Module, *, name: str = "policy", device: str | None = None) -> None:
        self.policy = policy_of(policy)
        self.module = policy if device is None else policy.to(device)
        self.name, self.forwards = name, 0

    def __repr__(self) -> str:
        return f"PolicyModel({self.name!r}, {type(self.policy).__name__})"

    @property
    def input_std(self) -> Tensor:
        return torch.ones((), device=next(self.module.parameters()).device)

    @property
    def input_mean(self) -> Tensor:
        return torch.zeros((), device=next(self.module.parameters()).device)

    def prepare(self, batch: Items) -> Tensor:
        return Table(columns=len(COLUMNS))(batch).to(next(self.module.parameters()).device)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """The episodes [n, 9], played."""
        self.forwards += len(x)
        played = play(self.policy, x)
        return Outputs(features=played.features, predictions=played.returns)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        modes = {module: module.training for module in self.module.modules()}
        self.module.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    def digest(self) -> str:
        return keys.key(
            weights=keys.of_tensors(self.module.state_dict()),
            architecture=repr(self.module),
            code=sorted({code_of(kind) for kind in map(type, self.module.modules())}),
            play=keys.of_code(type(self), play),
        )


def policy_of(network: nn.Module) -> Policy:
    """The network as a policy.

    Raises
    ------
    UserError
        It is none.

    Examples
    --------
    >>> policy_of(nn.Linear(4, 2))
    Traceback (most recent call last):
    outfield.errors.UserError: Expected a policy, but got a Linear, which has no observations, actions, hidden, act. ...
    """
    if not isinstance(network, Policy):
        missing = [name for name in ("observations", "actions", "hidden", "act") if not hasattr(network, name)]
        raise UserError(
            f"Expected a policy, but got a {type(network).__name__}, which has no {', '.join(missing)}. "
            "Name a network that plays, such as policy_mlp."
        )
    return network

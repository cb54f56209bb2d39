from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.datasets import targets_of
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks.base import Task, Wanted, from_sources
from outfield_control.sources.point_mass_episodes import PointMassEpisodes
from outfield_control.sources.point_mass_logs import PointMassLogs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class PointMass(Task):
    """Push a body to the origin of the plane: the merit of an episode is its return, minus the summed distances.

    Policies learn from logged transitions in calm air (the stream ``learn``) and play episodes. A shift is the test
    set's episodes in another world, one for each value of a parameter, with its place in the list as severity.

    Parameters
    ----------
    episodes : int
        Of each of training, validation and test set. Those of the training set are what detectors are fitted on.
    winds, gravities, masses : tuple of float
        Shifts. In training the wind and gravity are 0, the mass is 1. Another value than that each.
    logs : source of transitions, optional
        By default ``PointMassLogs()``.

    Raises
    ------
    UserError
        A shift that is none.

    Examples
    --------
    >>> task = PointMass(episodes=20, winds=(0.2,), masses=(2.0, 3.0))
    >>> [(one.name, one.role, one.severity) for one in task.wanted(seed=0)][3:]
    [('learn', 'learn', None), ('wind 0.2', 'shift', 1), ('mass 2', 'shift', 1), ('mass 3', 'shift', 2)]
    >>> import torch
    >>> from outfield.types import Outputs
    >>> task.merit(Outputs(predictions=torch.tensor([-7.5, -30.0])))
    tensor([ -7.5000, -30.0000])
    """

    episodes: int = 256
    winds: tuple[float, ...] = (0.1, 0.2, 0.4)
    gravities: tuple[float, ...] = ()
    masses: tuple[float, ...] = ()
    logs: Any = None

    measures: ClassVar[tuple[str, ...]] = ("mean_return",)
    items: ClassVar[str] = "episodes"
    network: ClassVar[str] = "policy_mlp"
    streams: ClassVar[frozenset[str]] = frozenset({"learn"})
    judges: ClassVar[Literal["labels", "targets", ""]] = ""

    def wanted(self, seed: int) -> Iterator[Wanted]:
        calm = PointMassEpisodes(self.episodes, seed=seed)
        splits = {name: replace(calm, first=k * self.episodes) for k, name in enumerate(("train", "val", "test"))}
        yield from from_sources(splits, streams={"learn": PointMassLogs() if self.logs is None else self.logs})
        for parameter, values in (("wind", self.winds), ("gravity", self.gravities), ("mass", self.masses)):
            for severity, value in enumerate(values, start=1):
                changed: dict[str, Any] = {parameter: value}
                world = replace(splits["test"], **changed)
                if world == splits["test"]:
                    raise UserError(
                        f"Expected a {parameter} other than in training, but got {value:g}. Leave it out: the test set "
                        "is played in that world."
                    )
                yield Wanted(f"{parameter} {value:g}", "shift", world, "near", parameter, severity)

    def batch(self, member: Member) -> Batch:
        """Episodes, or logged transitions as ``Transitions`` reads them."""
        import torch

        found, targets = super().batch(member), targets_of(member.data)
        return found if targets is None else replace(found, y=torch.from_numpy(targets).float())

    def check(self, data: Batch, network: nn.Module) -> None:
        from outfield_control.policy_model import policy_of
        from outfield_control.transitions import Transitions

        policy, logged = policy_of(network), Transitions.of(data)
        sizes, given = (logged.observation.shape[1], logged.action.shape[1]), (policy.observations, policy.actions)
        if sizes != given:
            raise UserError(
                f"Expected a policy for {sizes[0]} observations and {sizes[1]} actions, as the logs have, but got one "
                f"for {given[0]} and {given[1]}. Mend the network."
            )

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Behaviour cloning: the squared error of the policy's action against the logged one."""
        from outfield_control.strategies.losses import cloning
        from outfield_control.transitions import Transitions

        logged = Transitions.of(batch)
        return cloning(network(logged.observation), logged.action)

    def model(self, module: nn.Module, example: Any, **options: Any) -> Model:
        from outfield_control.policy_model import PolicyModel

        if unknown := sorted(name for name, value in options.items() if value and name not in ("name", "device")):
            raise UserError(
                f"Expected a policy without {', '.join(unknown)}, but got {options[unknown[0]]!r}. A policy plays "
                "episodes and offers its hidden states alone: leave them out."
            )
        return PolicyModel(module, name=options.get("name", "policy"), device=options.get("device"))

    def merit(self, out: Outputs) -> Tensor:
        return out.predictions

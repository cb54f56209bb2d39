from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError
from outfield_control.sources.point_mass_episodes import PointMassEpisodes
from outfield_control.world import ACTIONS, HORIZON

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from outfield_control.transitions import Transitions
    from outfield_control.world import Bodies

FIRST = 1_000_000
"""Number of the first logged episode: no set that is measured has it."""


@dataclass(frozen=True)
class PointMassLogs(Source):
    """Transitions of the point mass in calm air, logged from a mix of two policies.

    One draws its pushes evenly from [-1, 1]; the other, of medium skill, pushes towards the origin as a slow spring
    with a damper would, with noise. The items are observations [n, 4]; targets are action, reward, next observation
    and whether the episode ended there, as ``Transitions`` reads them. Forty transitions are an episode.

    Parameters
    ----------
    episodes : int
    random : float
        Share of the episodes that the random policy plays.
    stiffness, damping : float
        Of the medium policy: its push for each unit of distance and of speed.
    noise : float
        Standard deviation of what is added to its push.
    seed : int

    Raises
    ------
    UserError
        A share that is none.

    Examples
    --------
    >>> logs = PointMassLogs(episodes=3).load()
    >>> len(logs), logs.read(slice(0, 1)).shape, logs.targets.shape
    (120, (1, 4), (120, 8))
    """

    episodes: int = 200
    random: float = 0.5
    stiffness: float = 0.5
    damping: float = 0.5
    noise: float = 0.3
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"rows"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        from outfield_control.transitions import Transitions

        if not 0 <= self.random <= 1:
            raise UserError(f"Expected a share from 0 to 1, but got random: {self.random:g}. Mend it.")
        logged = Transitions.cat(list(self._steps()))
        return ArrayDataset(logged.observation.numpy(), targets=logged.targets.numpy())

    def _steps(self) -> Iterator[Transitions]:
        """Every step of all episodes at once."""
        import torch

        from outfield_control.play import gusts_of
        from outfield_control.transitions import Transitions
        from outfield_control.world import Bodies

        starts = torch.from_numpy(PointMassEpisodes(self.episodes, FIRST, seed=self.seed).load().read(slice(None)))
        bodies, blown = Bodies.at(starts), gusts_of(starts)
        chance = torch.Generator().manual_seed(self.seed)
        for step in range(HORIZON):
            push = self._push(bodies, chance)
            after = bodies.pushed(push, blown[:, step])
            reward = after.reward[:, None]
            yield Transitions(bodies.observation, push, reward, after.observation, torch.zeros_like(reward))
            bodies = after

    def _push(self, bodies: Bodies, chance: Generator) -> Tensor:
        import torch

        shape = len(bodies.place), ACTIONS
        evenly = 2 * torch.rand(shape, generator=chance) - 1
        noise = self.noise * torch.randn(shape, generator=chance)
        spring = noise - self.stiffness * bodies.place - self.damping * bodies.velocity
        played = torch.arange(len(bodies.place))[:, None] < self.random * len(bodies.place)
        return torch.where(played, evenly, spring.clamp(-1, 1))

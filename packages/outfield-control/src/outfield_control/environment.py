"""The point mass as an environment of Gymnasium, for agents of other libraries."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from outfield.errors import UserError
from outfield_control.play import gusts_of
from outfield_control.sources.point_mass_episodes import LARGEST, PointMassEpisodes
from outfield_control.world import ACTIONS, COLUMNS, HORIZON, OBSERVATIONS, Bodies

Numbers = NDArray[np.float32]


class PointMassEnv(gymnasium.Env[Numbers, Numbers]):
    """One episode after the other: the same worlds, steps and rewards as those that a study plays.

    ``reset(options={"episode": row})`` starts a given episode, a row of ``PointMassEpisodes``; without it one is drawn
    by the seed. An episode is cut off after 40 steps and never ends before.

    Parameters
    ----------
    wind, gravity, mass : float
        The world of the episodes that are drawn.

    Raises
    ------
    UserError
        By ``reset``, for an episode that is no row of nine numbers; by ``step``, before ``reset``.

    Examples
    --------
    >>> world = PointMassEnv(wind=0.2)
    >>> seen, _ = world.reset(seed=0)
    >>> seen, reward, terminated, truncated, _ = world.step(np.zeros(2, np.float32))
    >>> seen.shape, reward < 0, terminated, truncated
    ((4,), True, False, False)
    """

    def __init__(self, wind: float = 0.0, gravity: float = 0.0, mass: float = 1.0) -> None:
        self.drawn = {"wind": wind, "gravity": gravity, "mass": mass}
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)
        self.bodies: Bodies | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numbers, dict[str, Any]]:
        super().reset(seed=seed)
        episode = (options or {}).get("episode")
        row = self._episode() if episode is None else np.asarray(episode, np.float32)
        if row.shape != (len(COLUMNS),):
            raise UserError(
                f"Expected an episode of {len(COLUMNS)} numbers ({', '.join(COLUMNS)}), but got {list(row.shape)}. "
                "Pass a row of PointMassEpisodes."
            )
        start = torch.from_numpy(row)[None]
        self.bodies, self.blown, self.done = Bodies.at(start), gusts_of(start), 0
        return self._seen(self.bodies), {}

    def step(self, action: Numbers) -> tuple[Numbers, float, bool, bool, dict[str, Any]]:
        if self.bodies is None or self.done >= HORIZON:
            raise UserError("Expected an episode that goes on, but there is none. Call reset() first.")
        self.bodies = self.bodies.pushed(torch.as_tensor(action, dtype=torch.float32)[None], self.blown[:, self.done])
        self.done += 1
        return self._seen(self.bodies), float(self.bodies.reward), False, self.done == HORIZON, {}

    def _episode(self) -> Numbers:
        number, seed = (int(drawn) for drawn in self.np_random.integers(LARGEST - 1, size=2))
        row: Numbers = np.asarray(PointMassEpisodes(1, number, seed=seed, **self.drawn).load().read(slice(None)))[0]
        return row

    def _seen(self, bodies: Bodies) -> Numbers:
        seen: Numbers = bodies.observation[0].numpy()
        return seen

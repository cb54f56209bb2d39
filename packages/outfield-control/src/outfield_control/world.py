"""The point mass: a body in the plane that is to be pushed to the origin, against wind where there is any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS: Final = ("x", "y", "vx", "vy", "wind_x", "wind_y", "gravity", "mass", "seed")
"""What an episode is: where the body starts and how fast, the parameters of its world, the seed of its gusts."""
HORIZON: Final = 40
"""Steps of an episode."""
OBSERVATIONS: Final = 4
"""Numbers that a policy sees: place and velocity. It does not see the wind."""
ACTIONS: Final = 2
"""Numbers that it answers: the push along each axis, in [-1, 1]."""

_STEP: Final = 0.1
_DRAG: Final = 0.3
_GUST: Final = 0.1


@dataclass(frozen=True, eq=False)
class Bodies:
    """Bodies, each in a world of its own.

    Parameters
    ----------
    place, velocity : Tensor [n, 2]
    wind : Tensor [n, 2]
        A force; the strongest push is 1 along each axis.
    gravity, mass : Tensor [n, 1]

    Examples
    --------
    >>> import torch
    >>> start = Bodies.at(torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 7.0]]))
    >>> after = start.pushed(torch.tensor([[-9.0, 0.0]]), torch.zeros(1, 2))
    >>> start.observation, after.velocity, after.reward
    (tensor([[0.5000, 0.0000, 0.0000, 0.0000]]), tensor([[-0.1000,  0.0000]]), tensor([-0.4900]))
    """

    place: Tensor
    velocity: Tensor
    wind: Tensor
    gravity: Tensor
    mass: Tensor

    @classmethod
    def at(cls, episodes: Tensor) -> Bodies:
        """At the start of episodes [n, 9], whose numbers are ``COLUMNS``."""
        return cls(*episodes[:, :8].split((2, 2, 2, 1, 1), dim=1))

    @property
    def observation(self) -> Tensor:
        """What a policy sees [n, 4]."""
        import torch

        return torch.cat((self.place, self.velocity), dim=1)

    @property
    def reward(self) -> Tensor:
        """Minus the distance from the origin [n]."""
        distance: Tensor = self.place.norm(dim=1)
        return -distance

    def pushed(self, push: Tensor, gust: Tensor) -> Bodies:
        """A tenth of a second later; a push beyond [-1, 1] is cut, a gust is a force as the wind is."""
        force = push.clamp(-1, 1) + self.wind + _GUST * gust
        fall = self.gravity * force.new_tensor((0.0, -1.0))
        velocity = self.velocity + _STEP * (force / self.mass + fall - _DRAG * self.velocity)
        return replace(self, place=self.place + _STEP * velocity, velocity=velocity)


def gusts(seeds: NDArray[np.int64]) -> NDArray[np.float32]:
    """The gusts of episodes [n, steps, 2], of each by its seed alone.

    Examples
    --------
    >>> both = gusts(np.array([3, 4]))
    >>> both.shape, bool((gusts(np.array([4]))[0] == both[1]).all())
    ((2, 40, 2), True)
    """
    drawn = [np.random.default_rng(int(seed)).standard_normal((HORIZON, ACTIONS)) for seed in seeds]
    return np.stack(drawn).astype(np.float32)

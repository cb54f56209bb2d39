"""Logged experience: what was seen, done, gained and seen next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outfield.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from outfield.types import Batch


@dataclass(frozen=True, eq=False)
class Transitions:
    """Steps of episodes, as a stream of training has them.

    Parameters
    ----------
    observation : Tensor [n, o]
    action : Tensor [n, a]
    reward : Tensor [n, 1]
    following : Tensor [n, o]
        The observation after the action.
    terminal : Tensor [n, 1]
        1 where the episode ended in that state; an episode that was merely cut off did not.

    Examples
    --------
    >>> import torch
    >>> one = Transitions(*(torch.full((1, width), float(width)) for width in (4, 2, 1, 4, 1)))
    >>> one.targets
    tensor([[2., 2., 1., 4., 4., 4., 4., 1.]])
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    following: Tensor
    terminal: Tensor

    @property
    def targets(self) -> Tensor:
        """All but the observation, side by side [n, a + o + 2]: the targets of a data set whose items it is."""
        import torch

        return torch.cat((self.action, self.reward, self.following, self.terminal), dim=1)

    @classmethod
    def of(cls, batch: Batch) -> Transitions:
        """Those of the stream ``learn``, whose inputs are observations, with the rest as targets.

        Raises
        ------
        UserError
            There is no such stream, or its targets do not hold a transition.
        """
        if (logs := batch.streams.get("learn")) is None:
            raise UserError(
                "Expected logged transitions in the stream `learn`, but the strategy reads none. "
                "Choose one that does: bc, td3_bc or mcep."
            )
        seen = logs.x.shape[1]
        actions = logs.targets.shape[1] - seen - 2
        if actions < 1:
            raise UserError(
                f"Expected logged transitions with observations [n, o] and targets [n, actions + o + 2], but got "
                f"{list(logs.x.shape)} and {list(logs.targets.shape)}. Give action, reward, next observation, terminal."
            )
        return cls(logs.x, *logs.targets.split((actions, 1, seen, 1), dim=1))

    @classmethod
    def cat(cls, parts: Sequence[Transitions]) -> Transitions:
        """All transitions of parts, in order."""
        import torch

        names = ("observation", "action", "reward", "following", "terminal")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

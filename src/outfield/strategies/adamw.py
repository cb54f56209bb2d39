from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from outfield.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True)
class AdamW(Strategy):
    """The task's own loss, descended with AdamW [1]; the rate rises linearly, then falls linearly to zero.

    This is how language models are fine-tuned. An epoch shows every item; its last batch may be smaller. A
    checkpoint holds what is learned alone: weights that do not change are those that the run began with.

    Parameters
    ----------
    warm_up : float
        Share of the steps over which the rate rises.
    steps : int, optional
        Instead of epochs.

    Examples
    --------
    >>> AdamW(epochs=2, batch_size=16).total_steps(40), AdamW(steps=5).total_steps(40)
    (6, 5)
    >>> [AdamW(warm_up=0.5).schedule(step, 4) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]

    References
    ----------
    [1] Loshchilov, Hutter. Decoupled Weight Decay Regularization. ICLR 2019.
    """

    warm_up: float = 0.1
    steps: int | None = None

    family: ClassVar[str] = "recipe"
    limits: ClassVar = {"warm_up": (0.0, 1.0), "steps": (1, 1_000_000_000)}

    def length(self, full: int) -> int:
        return full if self.steps is None else self.steps

    def steps_per_epoch(self, items: int) -> int:
        return math.ceil(items / self.batch_size)

    def schedule(self, step: int, total: int) -> float:
        warm = max(1, round(self.warm_up * total))
        return min((step + 1) / warm, max(0.0, (total - step) / max(1, total - warm)))

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        fixed = {name for name, weight in network.named_parameters(remove_duplicate=False) if not weight.requires_grad}
        return {name: value for name, value in network.state_dict().items() if name not in fixed}

"""Training by several processes, which accelerate starts: each has a part of every batch, or of the weights (FSDP)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from outfield.models.libraries import library

ACCELERATE = "accelerate"
"""As a study's device: ``accelerate launch -m outfield track STUDY`` places the model, as its configuration says."""


def first_process() -> bool:
    """Whether this is the process that writes and tells; True where there is but one.

    Examples
    --------
    >>> first_process()
    True
    """
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True, eq=False)
class World:
    """The processes that train one model together; without an accelerator, this one.

    Examples
    --------
    >>> World().part([4, 5, 6]), World().share([4, 5, 6])
    ([4, 5, 6], 1.0)
    """

    accelerator: Any = None

    @classmethod
    def of(cls, device: str) -> World:
        """The world of a study's device.

        Raises
        ------
        MissingExtra
            accelerate is not installed.
        """
        return cls(library("accelerate", "text").Accelerator()) if device == ACCELERATE else cls()

    @property
    def rank(self) -> int:
        """Which process this is."""
        return int(self.accelerator.process_index) if self.accelerator else 0

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.accelerator.num_processes) if self.accelerator else 1

    @property
    def sharded(self) -> bool:
        """Whether each process has a part of the weights alone."""
        return bool(self.accelerator) and str(self.accelerator.distributed_type.value) == "FSDP"

    def prepared(self, module: Any, optimizer: Any) -> tuple[Any, Any]:
        """Module and optimiser, placed."""
        return self.accelerator.prepare(module, optimizer) if self.accelerator else (module, optimizer)

    def part(self, rows: Sequence[Any]) -> list[Any]:
        """What of a batch is this process's; never nothing, for all must step together."""
        return list(rows[self.rank :: self.size]) or list(rows[:1])

    def share(self, rows: Sequence[Any]) -> float:
        """What a mean over this process's part counts, so that the mean over processes is that over the batch."""
        return len(rows[self.rank :: self.size]) * self.size / len(rows)

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over processes."""
        if self.accelerator:
            self.accelerator.backward(loss)
        else:
            loss.backward()

    def total(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        if self.size == 1:
            return values
        summed: Tensor = self.accelerator.reduce(values.to(self.accelerator.device), "sum")
        return summed.cpu()

    def save(self, folder: Path) -> None:
        """Each process's part of weights, optimiser and chance, in a folder."""
        self.accelerator.save_state(str(folder))

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote."""
        self.accelerator.load_state(str(folder))

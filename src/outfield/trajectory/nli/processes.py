"""Training by several processes, which accelerate starts: each has a part of every batch, or of the weights (FSDP)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from outfield.models.libraries import library
from outfield.models.pair_models import ACCELERATE
from outfield.strategies import Processes


def first_process() -> bool:
    """Whether this is the process that writes and tells; True where there is but one.

    Examples
    --------
    >>> first_process()
    True
    """
    return os.environ.get("RANK", "0") == "0"


def processes_of(device: str) -> Processes:
    """The processes that train on a study's device.

    Raises
    ------
    MissingExtra
        accelerate is not installed.

    Examples
    --------
    >>> processes_of("cpu").size
    1
    """
    return Accelerated(library("accelerate", "text").Accelerator()) if device == ACCELERATE else Processes()


class Accelerated(Processes):
    """The processes of an ``accelerate.Accelerator``."""

    def __init__(self, accelerator: Any) -> None:
        super().__init__()
        self.accelerator = accelerator
        self.sharded = str(accelerator.distributed_type.value) == "FSDP"

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def size(self) -> int:
        return int(self.accelerator.num_processes)

    def prepared(
        self, network: nn.Module, optimizers: Mapping[str, Optimizer]
    ) -> tuple[nn.Module, Mapping[str, Optimizer]]:
        placed, *others = self.accelerator.prepare(network, *optimizers.values())
        return placed, dict(zip(optimizers, others, strict=True))

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def total(self, values: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(values.to(self.accelerator.device), "sum")
        return summed.cpu()

    def save(self, folder: Path) -> None:
        self.accelerator.save_state(str(folder))

    def load(self, folder: Path) -> None:
        self.accelerator.load_state(str(folder))

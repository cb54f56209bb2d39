"""What the loop asks of the processes that train one network together; here there is but one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from outfield.errors import UserError


class Processes:
    """Training by this process alone; a subclass has several.

    Parameters
    ----------
    accelerator : str, optional
        ``cpu``, ``cuda``, or another type of PyTorch's; ``auto``: what there is. By default the network stays where it
        is, and finds its inputs itself.

    Raises
    ------
    UserError
        There is no such accelerator.

    Examples
    --------
    >>> alone = Processes("cpu")
    >>> alone.part(torch.tensor([4, 5, 6])), alone.share(3)
    (tensor([4, 5, 6]), 1.0)
    """

    sharded = False
    """Whether each process has a part of the weights alone."""

    def __init__(self, accelerator: str | None = None) -> None:
        self.device = None if accelerator is None else _device(accelerator)

    @property
    def rank(self) -> int:
        """Which process this is."""
        return 0

    @property
    def size(self) -> int:
        """How many there are."""
        return 1

    @property
    def gpus(self) -> list[int]:
        """CUDA devices whose random numbers the training draws."""
        alone = self.device is not None and self.device.type == "cpu"
        return [] if alone else list(range(torch.cuda.device_count()))

    def prepared(
        self, network: nn.Module, optimizers: Mapping[str, Optimizer]
    ) -> tuple[nn.Module, Mapping[str, Optimizer]]:
        """Network and optimisers, placed."""
        return (network if self.device is None else network.to(self.device)), optimizers

    def finished(self, network: nn.Module) -> nn.Module:
        """The trained network, back on the CPU where the processes placed it."""
        return network if self.device is None else network.cpu()

    def part(self, rows: Tensor) -> Tensor:
        """What of a batch is this process's; never nothing, for all must step together."""
        mine = rows[self.rank :: self.size]
        return mine if len(mine) else rows[:1]

    def share(self, rows: int) -> float:
        """What a mean over this process's part counts, so that the mean over processes is that over ``rows`` rows."""
        return len(range(self.rank, rows, self.size)) * self.size / rows

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over processes."""
        loss.backward()

    def total(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        return values

    def save(self, folder: Path) -> None:
        """Each process's part of weights, optimisers and chance, in a folder; where all have all, there is none."""

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote."""


def _device(accelerator: str) -> torch.device:
    if accelerator == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(accelerator)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"Expected an accelerator such as cpu, cuda or auto, but got {accelerator!r}: "
            f"{str(error).splitlines()[0]} Pass auto for what this machine has."
        ) from None
    return device

"""What strategies share that change what a block of the network passes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from outfield.models.heads import last_linear


def blocks(network: nn.Module) -> list[nn.Module]:
    """The parts of a network that have weights, in their order, but for the one with the head.

    Examples
    --------
    >>> len(blocks(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))))
    2
    """
    head = last_linear(network)[1]
    while True:
        parts = [part for part in network.children() if next(part.parameters(), None) is not None]
        if len(parts) != 1 or parts[0] is head:
            return [part for part in parts if head not in part.modules()]
        (network,) = parts


@contextmanager
def changed(block: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, the network goes on from what ``change`` makes of the output of a block."""
    handle = block.register_forward_hook(lambda _module, _given, output: change(output))
    try:
        yield
    finally:
        handle.remove()

"""What a training step of each strategy costs, over what its passes cost: outliers add their passes alone.

Hooks on the network's first layer with weights count the items that go forward and those whose gradients come back.
``passes`` is a step's number over the baseline's, with a backward pass counted twice a forward one; ``seconds`` is the
time of a step over the baseline's, side by side; ``overhead`` is the second over the first, at most 1.15 where all
that a strategy adds is its passes.

``mol`` differentiates through a gradient step, which the hooks do not count: its overhead is about 2.

    python -W ignore benchmarks/strategies.py [NAME ...] [--steps 20] [--batch 100] [--width 32]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Any

import torch
from _side_by_side import arguments, parsed
from torch import Tensor, nn

from outfield.registry import create, find, own
from outfield.strategies import PictureStrategy, train
from outfield.tasks.classify import Classify
from outfield.types import Batch

CLASSES, SIDE, ITEMS = 10, 32, 600
FAMILIES = frozenset({"baseline", "outlier exposure", "normalised logits", "domains", "wild data", "recipe"})


@dataclass
class Passes:
    """Items that went forward and back."""

    forward: int = 0
    backward: int = 0

    @property
    def cost(self) -> int:
        return self.forward + 2 * self.backward


@dataclass(frozen=True)
class Step:
    """What one step took: seconds of the processor, and the cost of its passes."""

    seconds: float
    cost: int


def counted(network: nn.Module, passes: Passes) -> nn.Module:
    """The network, whose first layer with weights notes its passes."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))

    def note(_: nn.Module, __: Any, out: Tensor) -> None:
        passes.forward += len(out)
        if out.requires_grad:
            out.register_hook(lambda slope: back(len(slope)))

    def back(items: int) -> None:
        passes.backward += items

    first.register_forward_hook(note)
    return network


def data(strategy: PictureStrategy) -> Batch:
    """Noise with labels, two domains, and streams of noise."""
    streams = {role: Batch(torch.rand(2 * ITEMS, 3, SIDE, SIDE)) for role in strategy.streams}
    labels = torch.arange(ITEMS) % CLASSES
    return Batch(torch.rand(ITEMS, 3, SIDE, SIDE), labels, groups=torch.arange(ITEMS) // CLASSES % 2, streams=streams)


def steps(name: str, count: int, batch: int, width: int) -> Iterator[Step]:
    """The last steps of a run, one by one."""
    strategy = create("strategies", name, batch_size=batch)
    passes, found, before = Passes(), [], [process_time(), 0]

    def make() -> nn.Module:
        return counted(create("networks", "small_cnn", classes=CLASSES, channels=3, width=width), passes)

    def look(_: Any) -> None:
        found.append(Step(process_time() - before[0], passes.cost - int(before[1])))
        before[:] = [process_time(), passes.cost]

    epochs = max(1, 2 * count * batch // ITEMS)
    train(strategy, make, data(strategy), Classify(classes=CLASSES), seed=0, epochs=epochs, on_step=look)
    yield from found[-count:]


def typical(of: list[Step]) -> Step:
    """Medians."""
    return Step(median(one.seconds for one in of), int(median(one.cost for one in of)))


def chosen(names: list[str]) -> list[str]:
    """The names asked for, or every strategy of pictures that has its own loss."""
    every = [name for name in own("strategies") if issubclass(find("strategies", name), PictureStrategy)]
    return names or [name for name in every if find("strategies", name).family in FAMILIES]


def main(run: Callable[[str], Step], names: list[str]) -> None:
    """A line for each strategy."""
    print(f"{'strategy':22} {'passes':>7} {'seconds':>8} {'overhead':>9}")
    for name in names:
        baseline, own_step = run("baseline"), run(name)
        cost, seconds = own_step.cost / baseline.cost, own_step.seconds / baseline.seconds
        print(f"{name:22} {cost:7.2f} {seconds:8.2f} {seconds / cost:9.2f}", flush=True)


if __name__ == "__main__":
    parser = parsed(__doc__, steps=20, batch=100, width=32)
    parser.add_argument("names", nargs="*")
    given = arguments(parser)
    main(lambda name: typical(list(steps(name, given.steps, given.batch, given.width))), chosen(given.names))

"""What every strategy keeps."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outfield.keys import of_tensors
from outfield.registry import create, name_of
from outfield.strategies import FAMILIES, Moment, Strategy, train
from outfield.tasks.base import Task
from outfield.tasks.classify import Classify
from outfield.testing._expect import all_of, carries_tags, expect, is_found_by_its_name, refused
from outfield.types import Batch

CLASSES = 3


@dataclass(frozen=True, eq=False)
class Case:
    """A strategy with what it trains.

    Parameters
    ----------
    strategy : Strategy
    task : Task
    data : Batch
        A small training set, with the streams that the strategy reads.
    network : callable
        Makes a fresh network.
    """

    strategy: Strategy
    task: Task
    data: Batch
    network: Callable[[], nn.Module]

    def __repr__(self) -> str:
        return repr(self.strategy)

    def trained(self, seed: int = 0, **options: Any) -> nn.Module:
        """The network after one epoch; what the strategy warns of such data is no matter of the contract."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return self._trained(seed, **options)

    def _trained(self, seed: int, **options: Any) -> nn.Module:
        return train(self.strategy, self.network, self.data, self.task, seed=seed, epochs=1, **options)


def check_strategy(
    strategy: Strategy,
    *,
    task: Task | None = None,
    data: Batch | None = None,
    network: Callable[[], nn.Module] | None = None,
) -> None:
    """The contract of a strategy.

    Parameters
    ----------
    strategy : Strategy
    task, data, network
        What it trains, all three. By default a classifier of three classes, on what ``items`` says that it reads:
        pictures, rows of numbers, or tokens. A strategy for episodes needs them given.

    Raises
    ------
    AssertionError
        What was expected, and what came.

    Examples
    --------
    >>> from outfield.strategies.baseline import Baseline
    >>> check_strategy(Baseline(batch_size=12))
    """
    all_of(CHECKS, of(strategy, task=task, data=data, network=network))


def of(
    strategy: Strategy,
    *,
    task: Task | None = None,
    data: Batch | None = None,
    network: Callable[[], nn.Module] | None = None,
) -> Case:
    """The strategy with what it trains: what is given, or what is made for the items that it reads.

    Raises
    ------
    AssertionError
        It reads other items than can be made here, and none are given.
    """
    if task is not None and data is not None and network is not None:
        return Case(strategy, task, data, network)
    known = [kind for kind in MADE if kind in strategy.items or "any" in strategy.items]
    reads = ", ".join(sorted(strategy.items))
    way = f"check_strategy({type(strategy).__name__}(...), task=..., data=..., network=...)"
    expect(known, f"task, data and network for a strategy that reads {reads}: {way}", "none")
    make, network = MADE[known[0]]
    network = two_towers if getattr(strategy, "reads_texts", False) else network
    batch = make(36)
    streams = {role: Batch(batch.x.flip(0)) for role in strategy.streams}
    groups = torch.arange(len(batch)) // CLASSES % 2
    return Case(strategy, Classify(classes=CLASSES), replace(batch, groups=groups, streams=streams), network)


def pictures(n: int, side: int = 12) -> Batch:
    """Bars at a height that tells the class."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % CLASSES
    images = 0.3 * torch.rand(n, 1, side, side, generator=chance)
    for row, label in enumerate(labels.tolist()):
        images[row, 0, 4 * label + 1 : 4 * label + 3] += 0.6
    return Batch(images, labels)


def rows(n: int) -> Batch:
    """Numbers around a mean that tells the class."""
    labels = torch.arange(n) % CLASSES
    noise = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    return Batch(noise + 2 * torch.eye(6)[labels], labels)


def tokens(n: int) -> Batch:
    """Eight tokens of twenty; the class is among them."""
    labels = torch.arange(n) % CLASSES
    drawn = torch.randint(CLASSES, 20, (n, 8), generator=torch.Generator().manual_seed(0))
    drawn[:, 3] = labels
    return Batch(drawn, labels)


def small_cnn(channels: int = 1) -> nn.Module:
    """A network that classifies the pictures."""
    made: nn.Module = create("networks", "small_cnn", classes=CLASSES, channels=channels, width=4)
    return made


def two_towers() -> nn.Module:
    """A network with a tower for texts beside that for pictures."""
    made: nn.Module = create("networks", "clip", classes=CLASSES, names=("circle", "square", "star"))
    return made


def _of_rows() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))


class _OfTokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embedding(x).mean(dim=1))
        return logits


MADE: dict[str, tuple[Callable[[int], Batch], Callable[[], nn.Module]]] = {
    "pictures": (pictures, small_cnn),
    "rows": (rows, _of_rows),
    "tokens": (tokens, _OfTokens),
}
"""Kind of items to a small training set of it and a network that reads it."""


def declares(case: Case) -> None:
    """It is found by its name; its family, its items and its streams are known."""
    is_found_by_its_name("strategies", case.strategy)
    carries_tags("strategies", type(case.strategy))
    expect(case.strategy.family in FAMILIES, f"a family of {FAMILIES}", case.strategy.family)
    case.strategy.check_task(case.task, case.data.streams)


def parameters(case: Case) -> None:
    """Its parameters come back from JSON; a number out of range is refused."""
    name = name_of("strategies", case.strategy)
    again = create("strategies", name, **_through_json(case.strategy.params))
    expect(again == case.strategy, f"{case.strategy!r} back from JSON", again)
    numbers = [one.name for one in fields(case.strategy) if isinstance(getattr(case.strategy, one.name), float)]
    for number in numbers:
        wrong = min(-1.0, case.strategy.limits.get(number, (0.0, 0.0))[0] - 1.0)
        with refused(f"{number}={wrong}, which no range allows: add it to `limits`", number):
            create("strategies", name, **{**case.strategy.params, number: wrong})


def finished_network(case: Case) -> None:
    """It gives a network in evaluation mode, whose answers are finite; of a classifier the last layer's logits."""
    network = case.trained()
    still = [name for name, module in network.named_modules() if module.training]
    expect(not still, "a network in evaluation mode", f"{still} in training mode")
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    seen: list[Tensor] = []
    if linear:
        linear[-1].register_forward_hook(lambda *given: seen.append(given[2]))
    found = network(case.data.x)
    expect(found.isfinite().all(), "finite answers", "others")
    if isinstance(case.task, Classify):
        expect(found.shape == (len(case.data), case.task.classes), "logits [n, C]", list(found.shape))
        expect(bool(seen) and torch.equal(seen[-1], found), "logits from the last linear layer", "others")


def architecture(case: Case) -> None:
    """The weights fit into the architecture that it names, and give the same answers."""
    network, again = case.trained(), case.strategy.architecture(case.network, case.task)
    again.load_state_dict(network.state_dict())
    same = torch.equal(again.eval()(case.data.x), network(case.data.x))
    expect(same, "the same answers from the weights in `architecture`", "others")


def seed(case: Case) -> None:
    """The seed decides the weights, whatever the global random state is."""
    digests = []
    for one in (1, 1, 2):
        torch.rand(1)
        digests.append(of_tensors(case.trained(one).state_dict()))
    expect(digests[0] == digests[1], "equal weights of equal seeds", "others")
    expect(digests[0] != digests[2], "other weights of another seed", "the same")


def random_state_and_threads(case: Case) -> None:
    """The global random state and the number of threads stay."""
    before, threads = _random_state(), torch.get_num_threads()
    case.trained()
    expect(_random_state() == before, "the global random state as it was: draw from PyTorch's own generator", "another")
    expect(torch.get_num_threads() == threads, f"{threads} threads", torch.get_num_threads())


def data_untouched(case: Case) -> None:
    """The training set stays as it was."""
    before = case.data.digest()
    case.trained()
    expect(case.data.digest() == before, "the training set as it was: copy it first", "another")


def step(case: Case) -> None:
    """The loss is one finite number and reaches every weight that is learned; pictures stay in [0, 1]."""
    plan, task = case.strategy, case.task
    if type(plan).step is not Strategy.step:
        return  # a step of its own has losses of its own
    with torch.random.fork_rng():
        torch.manual_seed(0)
        data = plan.data(case.data, task)
        module = plan.network(case.network, task).train()
        plan.begin(module, data, task)
        batch = plan.batch(module, task.targets(data, module), task)
        loss = plan.loss(module, batch, task)
    if "pictures" in plan.items:
        ends = f"values from {batch.x.amin():g} to {batch.x.amax():g}"
        expect(batch.x.amin() >= 0 and batch.x.amax() <= 1, "pictures in [0, 1]", ends)
    loss.backward()
    expect(loss.ndim == 0 and loss.isfinite(), "one finite loss", loss)
    apart = [key for key, weight in module.named_parameters() if (weight.grad is not None) != weight.requires_grad]
    expect(not apart, "a gradient for every weight that is learned, and for no other", f"not so for {apart}")


def frozen_weights(case: Case) -> None:
    """Weights that are not learned stay as they were drawn; a strategy has some where its family is ``freezing``."""
    seen: list[dict[str, Tensor]] = []

    def look(moment: Moment) -> None:
        if moment.step in (0, moment.total):
            seen.append({key: one for key, one in moment.snapshot().named_parameters() if not one.requires_grad})

    case.trained(on_step=look)
    first, last = seen
    expect(first.keys() == last.keys(), "the same frozen weights at the end", sorted(first.keys() ^ last.keys()))
    freezes = case.strategy.family == "freezing"
    expect(not freezes or first, "frozen weights of the family `freezing`", sorted(first))
    moved = [key for key in first if not torch.equal(first[key], last[key])]
    expect(not moved, "frozen weights as they were drawn", f"others of {moved}")


def few_items(case: Case) -> None:
    """It trains on fewer items than a batch, and on classes of unequal size."""
    few = replace(case, strategy=replace(case.strategy, batch_size=100), data=case.data[:7])
    answers = few.trained()(few.data.x)
    expect(answers.isfinite().all(), "finite answers after training on seven items", "others")


def colour(case: Case) -> None:
    """A strategy for pictures trains on colour."""
    if case.network is not small_cnn:
        return
    streams = {role: Batch(_coloured(stream.x), stream.y) for role, stream in case.data.streams.items()}
    coloured = replace(case.data, x=_coloured(case.data.x), streams=streams)
    answers = replace(case, data=coloured, network=partial(small_cnn, 3)).trained()(torch.rand(2, 3, 12, 12))
    expect(answers.shape == (2, CLASSES), f"logits [2, {CLASSES}] for pictures in colour", list(answers.shape))


CHECKS: tuple[Callable[[Case], None], ...] = (
    declares, parameters, finished_network, architecture, seed, random_state_and_threads, data_untouched, step,
    frozen_weights, few_items, colour,
)  # fmt: skip


def _coloured(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1)


def _through_json(params: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(params))
    return found


def _random_state() -> list[object]:
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - this state is what is guarded
    return [torch.get_rng_state().tolist(), repr(legacy), random.getstate()]

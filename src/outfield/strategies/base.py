"""What a training strategy is: a few hooks around one loop, each of which says what the paper changes."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from outfield.errors import UserError
from outfield.strategies import _pictures
from outfield.tasks.base import Task
from outfield.types import Batch

FAMILIES = (
    "baseline",
    "adversarial",
    "augmentation",
    "self-supervised",
    "recipe",
    "freezing",
    "under-trained",
    "label noise",
    "small data",
    "outlier exposure",
    "normalised logits",
    "prototypes",
    "domains",
    "wild data",
    "vision-language",
)
"""The families of strategies, in the order in which reports show them."""

WARM_UP = 0.2
"""Share of the steps over which the learning rate of pictures' strategies rises."""

MakeNetwork: TypeAlias = Callable[[], nn.Module]


class Optimizers(Mapping[str, Optimizer]):
    """The optimisers of a run by name, and where the run stands: what a step works with.

    Parameters
    ----------
    named : mapping of name to Optimizer
    backward : callable
        Adds the gradients of a loss.

    Attributes
    ----------
    step, total : int
        Steps that are done, and how many there are.

    Examples
    --------
    >>> weight = nn.Parameter(torch.tensor(3.0))
    >>> optimizers = Optimizers({"all": torch.optim.SGD([weight], lr=0.5)}, backward=torch.Tensor.backward)
    >>> optimizers.descend(weight**2)
    >>> weight.item(), list(optimizers)
    (0.0, ['all'])
    """

    def __init__(self, named: Mapping[str, Optimizer], backward: Callable[[Tensor], None]) -> None:
        self._named, self.backward = named, backward
        self.step, self.total = 0, 1

    def __getitem__(self, name: str) -> Optimizer:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def descend(self, loss: Tensor, *names: str, change: Callable[[], None] = lambda: None) -> None:
        """The named optimisers, or all, go down the gradient of a loss, which ``change`` may alter before.

        Raises
        ------
        UserError
            The loss is not finite.
        """
        chosen = [self[name] for name in names or self]
        for optimizer in chosen:
            optimizer.zero_grad()
        self.backward(loss)
        change()
        for optimizer in chosen:
            optimizer.step()


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """How a network is trained. Its fields are its hyper-parameters; what it changes is a hook that it overrides.

    The defaults descend the task's own loss with AdamW, at a learning rate that stays.

    What a run learns beside the weights (an average of them, a critic, a multiplier, a count) is a module or buffer of
    the network that ``network`` returns: it is then saved, resumed, seeded and placed with it. All chance in a hook is
    PyTorch's own generator, which the loop seeds and afterwards restores.

    Parameters
    ----------
    epochs : int
        Passes over the training set.
    batch_size : int
    learning_rate : float
        Its peak.
    weight_decay : float

    Raises
    ------
    UserError
        A field is out of its range.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Penalised(Strategy):
    ...     def loss(self, network, batch, task):
    ...         return super().loss(network, batch, task) + network(batch.x).square().mean()
    >>> batch = Batch(torch.tensor([[2.0, 2.0]]), torch.tensor([0]))
    >>> Penalised().loss(nn.Identity(), batch, Classify(classes=2))
    tensor(4.6931)
    >>> Penalised(learning_rate=-1.0)
    Traceback (most recent call last):
    outfield.errors.UserError: Expected learning_rate of Penalised from 0 to 1000, but got -1.0. Pass a ...
    """

    epochs: int = 15
    batch_size: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 0.01

    family: ClassVar[str]
    """One of ``FAMILIES``."""
    items: ClassVar[frozenset[str]] = frozenset({"any"})
    """What it reads: of ``pictures tokens rows episodes``, or ``any``."""
    tasks: ClassVar[frozenset[str]] = frozenset({"ood"})
    """What its models are for (``outfield.tags.TASKS``)."""
    streams: ClassVar[frozenset[str]] = frozenset()
    """Roles of the streams that it reads beside the training set: of ``outliers wild unlabelled learn``."""
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The range of each field of a subclass, ends included."""

    def __post_init__(self) -> None:
        for name, (low, high) in (_LIMITS | dict(self.limits)).items():
            value = getattr(self, name, None)
            if value is not None and not low <= value <= high:
                raise UserError(
                    f"Expected {name} of {type(self).__name__} from {low:g} to {high:g}, but got {value!r}. "
                    "Pass a value in that range."
                )

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return asdict(self)

    def check_task(self, task: Task, streams: Collection[str]) -> None:
        """Whether a task, with the streams that it has, gives what the strategy reads.

        Raises
        ------
        UserError
            Its items are others, or a stream is not there.

        Examples
        --------
        >>> from outfield.tasks.classify import Classify
        >>> class Exposed(Strategy):
        ...     streams = frozenset({"outliers"})
        >>> Exposed().check_task(Classify(), streams=())
        Traceback (most recent call last):
        outfield.errors.UserError: Expected the streams outliers for Exposed, but got none of outliers. Give ...
        """
        if "any" not in self.items and task.items not in self.items | {"any"}:
            raise UserError(
                f"Expected {' or '.join(sorted(self.items))} for {type(self).__name__}, but the items of "
                f"{type(task).__name__} are {task.items}. Choose a strategy that reads them."
            )
        if missing := sorted(self.streams - set(streams)):
            raise UserError(
                f"Expected the streams {', '.join(sorted(self.streams))} for {type(self).__name__}, but got none of "
                f"{', '.join(missing)}. Give them beside the training set, in a study as `streams: "
                f"{{{missing[0]}: SOURCE}}` or by the task, or choose another strategy."
            )

    def check(self, data: Batch) -> None:  # noqa: B027  # many read anything
        """``UserError`` where the items are not such as the strategy reads."""

    def data(self, data: Batch, task: Task) -> Batch:
        """What is trained on, of the whole training set; once, before the first step."""
        return data

    def length(self, full: int) -> int:
        """How many steps are taken, where the baseline takes ``full``; the schedule fits itself to it."""
        return full

    def steps_per_epoch(self, items: int) -> int:
        """How many steps show so many items once: all batches are whole, unless the set is smaller than one."""
        return max(1, items // self.batch_size)

    def total_steps(self, items: int, epochs: int | None = None) -> int:
        """How many steps the loop takes on so many items, by default with the strategy's own epochs.

        Examples
        --------
        >>> class Plain(Strategy):
        ...     family = "baseline"
        >>> Plain(epochs=3, batch_size=10).total_steps(25), Plain(epochs=3, batch_size=10).total_steps(25, epochs=1)
        (6, 2)
        """
        return max(1, self.length((self.epochs if epochs is None else epochs) * self.steps_per_epoch(items)))

    def stream_size(self, role: str) -> int:
        """How many items of a stream a step reads."""
        return self.batch_size

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        """The module that is trained, with all that the run learns beside it."""
        return make()

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        """A module of the finished network's shape, which its saved weights fit."""
        return self.network(make, task)

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:  # noqa: B027  # most need none
        """What the network holds beside weights may be given its first value, of all that is trained on; once."""

    def optimizer(self, network: nn.Module) -> Optimizer | Mapping[str, Optimizer]:
        """What changes the weights: one optimiser, or several by name, for a ``step`` of the strategy's own."""
        return torch.optim.AdamW(learned(network), lr=self.learning_rate, weight_decay=self.weight_decay)

    def schedule(self, step: int, total: int) -> float:
        """The share of the peak learning rate after ``step`` of ``total`` steps."""
        return 1.0

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        """What a step learns from, made of the items that it drew, their targets and its streams."""
        return batch

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        """What a step descends: here the task's own loss."""
        return task.loss(network, batch)

    def step(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        """One step: here every optimiser goes down the one loss."""
        loss = self.loss(network, batch, task)
        optimizers.descend(loss, change=lambda: self.after_backward(network, batch, task))

    def after_backward(self, network: nn.Module, batch: Batch, task: Task) -> None:  # noqa: B027  # most need none
        """Gradients may be changed here, before they are used."""

    def after_step(self, network: nn.Module, batch: Batch, task: Task) -> None:  # noqa: B027  # most need none
        """What the network holds beside weights may be brought up to date here."""

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """What a checkpoint holds of the network: everything, unless the rest can be made again."""
        return network.state_dict()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        """What is measured, made of the trained module; it may be changed in place."""
        return network


@dataclass(frozen=True, kw_only=True)
class PictureStrategy(Strategy):
    """How a classifier of pictures is trained: by default as the baseline is.

    The baseline is SGD with momentum, a learning rate that rises over the first fifth of the steps and falls to zero
    with a cosine, and pictures [n, channels, height, width] that are shifted by a pixel or two. Targets are
    probabilities [n, C].

    Parameters
    ----------
    momentum : float
    shift : int
        Pictures are moved by up to so many pixels each way; zeros move in.
    flip : bool
        Whether half of the pictures are mirrored; digits and letters must not be.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Negatives(PictureStrategy):
    ...     def augment(self, x):
    ...         return 1 - super().augment(x)
    >>> from outfield.tasks.classify import Classify
    >>> Negatives(shift=0).batch(nn.Identity(), Batch(torch.zeros(8, 1, 4, 4)), Classify()).x.mean()
    tensor(1.)
    >>> [round(Negatives().schedule(step, 10), 2) for step in (0, 2, 6, 10)]
    [0.05, 1.0, 0.5, 0.0]
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    shift: int = 1
    flip: bool = False

    items: ClassVar[frozenset[str]] = frozenset({"pictures"})
    tasks: ClassVar[frozenset[str]] = frozenset({"open-set", "ood"})

    def check(self, data: Batch) -> None:
        x = data.x
        if not isinstance(x, Tensor) or x.ndim != 4 or x.dtype != torch.float32:
            got = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise UserError(
                f"Expected pictures as float32 [n, channels, height, width], but got {got}. "
                "Divide uint8 pictures by 255 and move their channels first."
            )
        if not (x.amin() >= 0 and x.amax() <= 1):
            raise UserError(
                f"Expected pictures in [0, 1], but got values from {x.amin():g} to {x.amax():g}. "
                "Scale them, and leave any other normalisation to the network."
            )

    def optimizer(self, network: nn.Module) -> Optimizer | Mapping[str, Optimizer]:
        return torch.optim.SGD(
            learned(network), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def schedule(self, step: int, total: int) -> float:
        """A rise, then half a cosine."""
        done = step / total
        if done < WARM_UP:
            return (done + 0.01) / (WARM_UP + 0.01)
        return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2

    def augment(self, x: Tensor) -> Tensor:
        """The pictures of a batch, each changed on its own."""
        x = _pictures.shifted(x, self.shift)
        return _pictures.mirrored(x) if self.flip else x

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        return replace(batch, x=self.augment(batch.x).contiguous(memory_format=torch.channels_last))


def learned(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that gradients change.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).requires_grad_(False)
    >>> _ = network[1].requires_grad_(True)
    >>> [tuple(weight.shape) for weight in learned(network)]
    [(1, 2), (1,)]
    """
    return [weight for weight in network.parameters() if weight.requires_grad]


_LIMITS: Final = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "learning_rate": (0.0, 1000.0),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "shift": (0, 64),
}

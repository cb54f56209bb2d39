"""What a training strategy is: a few hooks around one loop, each of which says what the paper changes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from outfield.errors import UserError
from outfield.strategies import _pictures

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
)
"""The families of strategies, in the order in which reports show them."""

MakeNetwork: TypeAlias = Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """How a classifier is trained. Its fields are its hyper-parameters; what it changes is a hook that it overrides.

    The fields here are those of the baseline: SGD with momentum, a learning rate that rises over the first fifth
    of the steps and falls to zero with a cosine, and pictures that are shifted by a pixel or two.

    All chance in a hook is PyTorch's own generator, which the loop seeds and afterwards restores.

    Parameters
    ----------
    epochs : int
        Passes over the training pictures.
    batch_size : int
    learning_rate : float
        Its peak.
    momentum : float
    weight_decay : float
    shift : int
        Pictures are moved by up to so many pixels each way; zeros move in.
    flip : bool
        Whether half of the pictures are mirrored; digits and letters must not be.

    Raises
    ------
    UserError
        A field is out of its range.
    """

    epochs: int = 15
    batch_size: int = 100
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    shift: int = 1
    flip: bool = False

    family: ClassVar[str]
    """One of ``FAMILIES``."""
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The range of each field of a subclass, ends included."""

    def __post_init__(self) -> None:
        for name, (low, high) in (_LIMITS | dict(self.limits)).items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(
                    f"Expected {name} of {type(self).__name__} from {low:g} to {high:g}, but got {value!r}. "
                    "Pass a value in that range."
                )

    @property
    def params(self) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return asdict(self)

    def data(self, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """The pictures and labels that are trained on; once, before the first step."""
        return images, labels

    def length(self, full: int) -> int:
        """How many steps are taken, where the baseline takes ``full``; the schedule fits itself to it."""
        return full

    def total_steps(self, images: int, epochs: int | None = None) -> int:
        """How many steps the loop takes on so many pictures, by default with the strategy's own epochs."""
        full = (self.epochs if epochs is None else epochs) * max(1, images // self.batch_size)
        return max(1, self.length(full))

    def network(self, make: MakeNetwork) -> nn.Module:
        """The module that is trained."""
        return make()

    def architecture(self, make: MakeNetwork) -> nn.Module:
        """A module of the finished classifier's shape, which its saved weights fit."""
        return self.network(make)

    def augment(self, x: Tensor) -> Tensor:
        """The pictures of a batch, each changed on its own."""
        x = _pictures.shifted(x, self.shift)
        return _pictures.mirrored(x) if self.flip else x

    def batch(self, network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and targets of a step; ``y`` holds probabilities [n, C]."""
        return x, y

    def loss(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """What a step descends: here the cross-entropy."""
        return functional.cross_entropy(network(x), y)

    def averaged(self, network: nn.Module) -> AveragedModel | None:
        """A running average of the weights that stands for the network in the end, if one is kept."""
        return None

    def finish(self, network: nn.Module, images: Tensor, labels: Tensor, classes: int) -> nn.Module:
        """The classifier, made of the trained module."""
        return network


_LIMITS = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "learning_rate": (0.0, 1000.0),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "shift": (0, 64),
}

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from outfield.errors import UserError
from outfield.strategies.base import PictureStrategy
from outfield.tasks.base import Task
from outfield.types import Batch

_Norm = Literal["l2", "linf"]


@dataclass(frozen=True)
class PGD(PictureStrategy):
    """Adversarial training: every picture is replaced by the worst one that projected gradient descent finds near it.

    Of the pictures within ``radius`` of x, the attack seeks one of greatest cross-entropy: it starts at a random
    place, takes ``steps`` steps up the gradient, each brought back into the ball and into [0, 1] [1]; then the
    network descends the loss there. Batch statistics stand still during the attack [2].

    Parameters
    ----------
    radius : float
        In the units of pixel values, of the whole picture for l2. A radius that is read as the same change a pixel
        grows with the square root of the number of values: l2 0.5 on 16 x 16 grey is 12 on 224 x 224 x 3.
    norm : str
        ``l2`` or ``linf``.
    steps : int
        Steps of the attack, each ``2 radius / steps`` long.

    Raises
    ------
    UserError
        The norm is unknown.

    Examples
    --------
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> from outfield.tasks.classify import Classify
    >>> batch = Batch(torch.full((1, 1, 2, 2), 0.5), torch.tensor([[1.0, 0.0]]))
    >>> worst = PGD(radius=0.1, norm="linf", shift=0).batch(network, batch, Classify())
    >>> bool((worst.x - batch.x).abs().max() <= 0.1 + 1e-6)
    True

    References
    ----------
    [1] Madry, Makelov, Schmidt, Tsipras, Vladu. Towards Deep Learning Models Resistant to Adversarial Attacks.
    ICLR 2018.
    [2] Salman, Ilyas, Engstrom, Kapoor, Madry. Do Adversarially Robust ImageNet Models Transfer Better? NeurIPS 2020.
    """

    radius: float = 0.5
    norm: _Norm = "l2"
    steps: int = 3

    family: ClassVar[str] = "adversarial"
    limits: ClassVar = {"radius": (0.0, 1e6), "steps": (1, 1000)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in get_args(_Norm):
            raise UserError(f"Expected norm l2 or linf, but got {self.norm!r}. Pass one of the two.")

    def batch(self, network: nn.Module, batch: Batch, task: Task) -> Batch:
        batch = super().batch(network, batch, task)
        x = batch.x
        network.eval()
        worst = self._near(x, x + self._random(x))
        for _ in range(self.steps):
            worst.requires_grad_()
            (slope,) = torch.autograd.grad(functional.cross_entropy(network(worst), batch.targets), worst)
            worst = self._near(x, worst.detach() + 2 * self.radius / self.steps * self._direction(slope))
        network.train()
        return replace(batch, x=worst)

    def _near(self, x: Tensor, moved: Tensor) -> Tensor:
        change = moved - x
        if self.norm == "linf":
            change = change.clamp(-self.radius, self.radius)
        else:
            change = change * (self.radius / _length(change)).clamp(max=1)
        return (x + change).clamp(0, 1)

    def _direction(self, slope: Tensor) -> Tensor:
        return slope.sign() if self.norm == "linf" else slope / _length(slope)

    def _random(self, x: Tensor) -> Tensor:
        change = torch.randn_like(x) if self.norm == "l2" else 2 * torch.rand_like(x) - 1
        return self.radius * torch.rand(len(x), 1, 1, 1, device=x.device) * self._unit(change)

    def _unit(self, change: Tensor) -> Tensor:
        return change if self.norm == "linf" else change / _length(change)


def _length(change: Tensor) -> Tensor:
    return change.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)

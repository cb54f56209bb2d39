from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies._losses import energy, soft_cross_entropy
from outfield.strategies._outliers import WithOutliers, answers
from outfield.strategies._warm_up import WithWarmUp
from outfield.strategies.base import MakeNetwork, Optimizers
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True)
class WOODS(WithWarmUp, WithOutliers):
    """Unlabelled items are told from ID items as far as two constraints allow, by an augmented Lagrangian [1].

    With ``g(x) = a E(x) + b`` of the free energy E, and a and b learned: after the warm-up the least
    ``mean sigmoid(-g(wild))`` is sought subject to ``mean sigmoid(g(x)) <= alarms`` over ID items and ``CE <= tolerance
    * CE0``, where CE0 is the mean loss of the warm-up's last epoch. A constraint c <= 0 enters as ``lambda c + rho c^2
    / 2`` where ``rho c + lambda >= 0``, as ``-lambda^2 / (2 rho)`` elsewhere. After each epoch lambda follows the mean
    of c over its steps, and rho grows by ``growth`` where that is positive.

    The paper's code asks the training set once more after each epoch, instead of the mean over its steps, and draws a
    and b; here a = 1 and b gives ``alarms`` for the mean energy of ID items at first, where neither sigmoid is flat.

    Parameters
    ----------
    alarms : float
        alpha of the paper, .05: the share of ID items that may be called OOD.
    tolerance : float
        2 in the paper.
    growth : float
        1.5 in the paper.
    rate : float
        Of the multipliers; 1 in the paper.
    ratio : float
        Wild items a step, over the batch size.

    Examples
    --------
    >>> [round(penalty(torch.tensor(c), torch.tensor(0.5), torch.tensor(2.0)).item(), 4) for c in (0.1, -1.0)]
    [0.06, -0.0625]

    References
    ----------
    [1] Katz-Samuels, Nakhleh, Nowak, Li. Training OOD Detectors in their Natural Habitats. ICML 2022.
    """

    alarms: float = 0.05
    tolerance: float = 2.0
    growth: float = 1.5
    rate: float = 1.0

    family: ClassVar[str] = "wild data"
    streams: ClassVar[frozenset[str]] = frozenset({"wild"})
    limits: ClassVar = {
        **WithOutliers.limits,
        **WithWarmUp.limits,
        "alarms": (0.0, 1.0),
        "tolerance": (0.0, 1000.0),
        "growth": (1.0, 100.0),
        "rate": (0.0, 100.0),
        "margin": (0.0, 1000.0),
    }

    @property
    def gap(self) -> float:
        """What is added to the energy of wild items; SCONE has some."""
        return 0.0

    def network(self, make: MakeNetwork, task: Task) -> nn.Module:
        return _Constrained(make())

    def architecture(self, make: MakeNetwork, task: Task) -> nn.Module:
        return make()

    def begin(self, network: nn.Module, data: Batch, task: Task) -> None:
        constrained_of(network).epoch.fill_(self.steps_per_epoch(len(data)))

    def warm(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        logits: Tensor = network(batch.x)
        loss = soft_cross_entropy(logits, batch.targets)
        optimizers.descend(loss)
        held = constrained_of(network)
        if optimizers.step >= self.turn(optimizers.total) - int(held.epoch):
            held.note(energy(logits).mean(), loss)

    @torch.no_grad()
    def prepare(self, network: nn.Module, task: Task) -> None:
        held = constrained_of(network)
        energies, entropy = held.sums / held.count.clamp(min=1)
        held.first.copy_(entropy)
        held.offset.copy_(torch.logit(held.first.new_tensor(self.alarms), eps=1e-6) - held.slope * energies)
        held.forget()

    def terms(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Share of ID items called OOD and of wild items called ID, both smoothed, and the cross-entropy."""
        held = constrained_of(network)
        inside, wild = answers(network, batch, "wild")
        alarms = held.odds(energy(inside)).sigmoid().mean()
        missed = (-held.odds(energy(wild) + self.gap)).sigmoid().mean()
        return alarms, missed, soft_cross_entropy(inside, batch.targets)

    def lagrangian(self, network: nn.Module, alarms: Tensor, missed: Tensor, entropy: Tensor) -> Tensor:
        """What a step descends."""
        held = constrained_of(network)
        values = self.constraints(held, torch.stack([alarms, entropy]))
        penalties = [penalty(*each) for each in zip(values, held.multipliers, held.strengths, strict=True)]
        return missed + sum(penalties, start=missed.new_zeros(()))

    def constraints(self, held: _Constrained, means: Tensor) -> Tensor:
        """How far the share of alarms and the cross-entropy lie above what is allowed, [2]."""
        return means - torch.stack([held.first.new_tensor(self.alarms), self.tolerance * held.first])

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        return self.lagrangian(network, *self.terms(network, batch))

    def tune(self, network: nn.Module, batch: Batch, task: Task, optimizers: Optimizers) -> None:
        terms = self.terms(network, batch)
        optimizers.descend(self.lagrangian(network, *terms))
        held = constrained_of(network)
        held.note(terms[0], terms[2])
        if held.count == held.epoch:
            self.update(held)

    @torch.no_grad()
    def update(self, held: _Constrained) -> None:
        """The step of the multipliers, and of the strengths of the penalties, after an epoch."""
        values = self.constraints(held, held.sums / held.count)
        multipliers, strengths = held.multipliers, held.strengths
        active = strengths * values + multipliers >= 0
        multipliers += self.rate * torch.where(active, values, -multipliers / strengths)
        strengths *= torch.where(values > 0, self.growth, 1.0)
        held.forget()

    def finish(self, network: nn.Module, data: Batch, task: Task) -> nn.Module:
        return constrained_of(network).network


class _Constrained(nn.Module):
    """The network, its line from energy to the log-odds of OOD, and the multipliers of the two constraints.

    ``sums`` are those of the share of alarms and of the cross-entropy over the steps of an epoch, ``count`` of them.
    """

    first: Tensor
    multipliers: Tensor
    strengths: Tensor
    sums: Tensor
    count: Tensor
    epoch: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.slope, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        for name, value in (("first", torch.zeros(())), ("multipliers", torch.zeros(2)), ("strengths", torch.ones(2))):
            self.register_buffer(name, value)
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("epoch", torch.ones((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def odds(self, energies: Tensor) -> Tensor:
        """Log-odds of OOD."""
        return self.slope * energies + self.offset

    @torch.no_grad()
    def note(self, alarms: Tensor, entropy: Tensor) -> None:
        """A step's terms are added."""
        self.sums += torch.stack([alarms, entropy])
        self.count += 1

    def forget(self) -> None:
        """A new epoch begins."""
        self.sums.zero_()
        self.count.zero_()


def penalty(value: Tensor, multiplier: Tensor, strength: Tensor) -> Tensor:
    """How a constraint ``value <= 0`` enters the augmented Lagrangian."""
    if strength * value + multiplier >= 0:
        return multiplier * value + strength / 2 * value.square()
    return -multiplier.square() / (2 * strength)


def constrained_of(network: nn.Module) -> _Constrained:
    """The network with its multipliers, inside whatever processes wrap it in."""
    return next(module for module in network.modules() if isinstance(module, _Constrained))

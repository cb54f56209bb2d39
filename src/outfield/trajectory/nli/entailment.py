"""Fine-tuning on NLI as the one loop takes it: the task, its strategy, and its training set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from outfield.strategies.adamw import AdamW
from outfield.tasks.base import Task, Wanted
from outfield.trajectory.nli.models import PairModel
from outfield.trajectory.nli.sets import Pairs
from outfield.trajectory.nli.spec import Training
from outfield.types import Batch, Outputs


@dataclass(frozen=True, eq=False)
class Entailment(Task):
    """Whether a premise entails a hypothesis, as a language model answers it.

    Parameters
    ----------
    answered : PairModel
        Reads the pairs, and has their loss.
    """

    answered: PairModel

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy")
    items: ClassVar[str] = "tokens"

    def wanted(self, seed: int) -> Iterator[Wanted]:
        return iter(())

    def encoded(self, pairs: Pairs) -> Batch:
        """Pairs as the loop takes them."""
        return Batch(self.answered.encode(pairs), torch.from_numpy(pairs.labels))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return self.answered.loss(batch.x, batch.targets, network)

    def merit(self, out: Outputs) -> Tensor:
        return (out.logits.argmax(dim=1) == out.labels).float()


def strategy_of(training: Training) -> AdamW:
    """The strategy that a study's ``training`` asks for.

    Examples
    --------
    >>> strategy_of(Training(epochs=2, batch=16)).total_steps(40)
    6
    """
    asked = training.model_dump(exclude={"batch", "gradient_checkpointing"})
    return AdamW(batch_size=training.batch, **asked)

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.datasets import targets_of
from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks.base import Task, Wanted, from_sources

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class Regress(Task):
    """Numbers for each item: the merit is minus the mean absolute error of its targets.

    A shift is measured as the test set is, and detectors are asked to tell it from the test set.

    Parameters
    ----------
    id : mapping of ``train``, ``val`` and ``test`` to sources with targets
    shift : mapping of name to source with targets, optional
        The same question elsewhere: other ages, another hospital.
    ood : mapping of name to source, optional
        Inputs that have no right answer; ``{near: {NAME: source}}`` says the category, which else is ``far``.

    Examples
    --------
    >>> import torch
    >>> from outfield.data.sources.diabetes import Diabetes
    >>> from outfield.types import Outputs
    >>> young = {part: Diabetes(part=part.replace("train", "fit"), ages=(0, 60)) for part in ("train", "val", "test")}
    >>> task = Regress(young, shift={"60 and older": Diabetes(ages=(60, 120))})
    >>> [(one.name, one.role, len(one)) for one in task.sets(seed=0)]
    [('train', 'train', 170), ('val', 'val', 84), ('test', 'test', 85), ('60 and older', 'shift', 103)]
    >>> task.merit(Outputs(predictions=torch.tensor([[150.0], [90.0]]), targets=torch.tensor([100.0, 100.0])))
    tensor([-50., -10.])
    """

    id: Mapping[str, Any]
    shift: Mapping[str, Any] = field(default_factory=dict)
    ood: Mapping[str, Any] = field(default_factory=dict)

    measures: ClassVar[tuple[str, ...]] = ("mean_absolute_error", "root_mean_squared_error")
    items: ClassVar[str] = "rows"
    judges: ClassVar[Literal["labels", "targets", ""]] = "targets"

    def wanted(self, seed: int) -> Iterator[Wanted]:
        return from_sources(self.id, shift=self.shift, ood=self.ood, category_of_shifts="near")

    def arguments(self, train: Member) -> dict[str, Any]:
        targets = _targets(train)
        return {"classes": 1 if targets.ndim == 1 else targets.shape[1]}

    def batch(self, member: Member) -> Batch:
        found = super().batch(member)
        return found if found.y is None else replace(found, y=found.y.float().reshape(len(member), -1))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        from torch.nn import functional

        said, true = _beside(network(batch.x), batch.targets)
        return functional.mse_loss(said, true)

    def model(self, module: nn.Module, example: Any, **options: Any) -> Model:
        return super().model(module, example, numbers=True, **options)

    def merit(self, out: Outputs) -> Tensor:
        said, true = _beside(out.predictions, out.targets)
        return -(said - true.to(said)).abs().mean(dim=1)


def _beside(said: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions and targets, both [n, k]: nothing is repeated until it fits."""
    n = len(true)
    if said.numel() != true.numel() or len(said) != n:
        raise UserError(
            f"Expected a prediction for each target, {list(true.shape)}, but the model gave {list(said.shape)}. "
            "Take a model with as many outputs as there are targets."
        )
    return said.reshape(n, -1), true.reshape(n, -1)


def _targets(train: Member) -> Any:
    if (targets := targets_of(train.data)) is None:
        raise UserError("Expected targets in the training data, but it has none. Name the column: `target: COLUMN`.")
    return targets

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.errors import UserError
from outfield.tasks.base import Task, Wanted
from outfield_sequences.sources.priorities import Priorities

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.models.base import Model
    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class MaxRetrieval(Task):
    """The class of the entry with the largest priority, in sets that grow beyond those of training [1].

    Sets of ``entries`` are one shift, whose severity is how often their number was doubled from ``most``. Up to four
    times ``most`` they are near, beyond that far, and detectors are asked to tell them from the test set.

    Parameters
    ----------
    train, test : int
        Sets to train on; sets of every other kind.
    most : int
        Entries of the largest sets of training; the smallest have 5, or as many.
    entries : tuple of int
        Entries of the sets of each shift.
    classes : int

    Raises
    ------
    UserError
        A shift with no more entries than training.

    Examples
    --------
    >>> [(one.name, one.severity, one.category) for one in MaxRetrieval(entries=(32, 256)).wanted(seed=0)][3:]
    [('32 entries', 1, 'near'), ('256 entries', 4, 'far')]

    References
    ----------
    [1] Veličković, Perivolaropoulos, Barbero, Pascanu. softmax is not enough (for sharp out-of-distribution).
        arXiv 2410.01104, 2024.
    """

    train: int = 50_000
    test: int = 2_000
    most: int = 16
    entries: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    classes: int = 10

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "nll", "ece")
    network: ClassVar[str] = "max_attention"
    judges: ClassVar[Literal["labels", "targets", ""]] = "labels"

    def __post_init__(self) -> None:
        if small := [n for n in self.entries if n <= self.most]:
            raise UserError(
                f"Expected shifts with more than {self.most} entries, but got {small}. Raise them, or lower `most`."
            )

    def wanted(self, seed: int) -> Iterator[Wanted]:
        for number, (role, n) in enumerate((("train", self.train), ("val", self.test), ("test", self.test))):
            yield Wanted(role, role, self._sets(n, min(5, self.most), self.most, 3 * seed + number))  # type: ignore[arg-type]  # a role
        for n in self.entries:
            severity = max(1, round(math.log2(n / self.most)))
            category = "near" if n <= 4 * self.most else "far"
            yield Wanted(f"{n} entries", "shift", self._sets(self.test, n, n, seed), category, "entries", severity)

    def _sets(self, n: int, fewest: int, most: int, seed: int) -> Priorities:
        return Priorities(n, fewest, most, self.classes, seed)

    def arguments(self, train: Member) -> dict[str, Any]:
        return {"classes": self.classes}

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(network(batch.x), batch.targets)

    def model(self, module: nn.Module, example: Any, **options: Any) -> Model:
        """The model shows the layer ``attention``, where the network has one."""
        shown = [name for name, _ in module.named_modules() if name == "attention"]
        return super().model(module, example, **{**options, "layers": options.get("layers") or shown})

    def merit(self, out: Outputs) -> Tensor:
        return (out.logits.argmax(dim=1).cpu() == out.labels.cpu()).float()

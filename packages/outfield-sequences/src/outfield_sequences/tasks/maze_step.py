from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from outfield.data.member import Member
from outfield.tasks.base import Task, Wanted
from outfield_sequences.sources.mazes import Mazes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from outfield.types import Batch, Outputs


@dataclass(frozen=True)
class MazeStep(Task):
    """The first step of the shortest way through a maze: up, down, left or right.

    A network learns on mazes of one generator and side. The shifts are mazes of other generators (near), and of larger
    sides (near up to half as large again, beyond that far), whose severity is how many cells their edge is longer.
    Detectors are asked to tell them from the test set.

    Parameters
    ----------
    train, test : int
        Mazes to train on; mazes of every other set.
    generator : str
    side : int
    generators : tuple of str
        Of the shifts.
    sides : tuple of int
        Of the shifts.
    form : {"pictures", "tokens"}
    fewest : int
        Steps that a path has at least.

    Examples
    --------
    >>> task = MazeStep(generators=("wilson",), sides=(7, 9))
    >>> [(one.name, one.shift, one.severity, one.category) for one in task.wanted(seed=0)][3:]
    [('wilson', 'generator', 1, 'near'), ('side 7', 'side', 2, 'near'), ('side 9', 'side', 4, 'far')]
    """

    train: int = 5000
    test: int = 1000
    generator: str = "dfs"
    side: int = 5
    generators: tuple[str, ...] = ("wilson", "kruskal", "percolation")
    sides: tuple[int, ...] = (6, 7, 9)
    form: str = "pictures"
    fewest: int = 3

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "nll", "ece")
    judges: ClassVar[Literal["labels", "targets", ""]] = "labels"

    @property
    def network(self) -> str:  # type: ignore[override]  # it follows from the form
        return "maze_cnn" if self.form == "pictures" else "maze_transformer"

    @property
    def items(self) -> str:  # type: ignore[override]  # it follows from the form
        return self.form

    def wanted(self, seed: int) -> Iterator[Wanted]:
        like = Mazes(self.generator, self.side, self.test, form=self.form, fewest=self.fewest)
        for number, (role, n) in enumerate((("train", self.train), ("val", self.test), ("test", self.test))):
            yield Wanted(role, role, replace(like, n=n, seed=3 * seed + number))  # type: ignore[arg-type]  # a role
        for name in self.generators:
            source = replace(like, generator=name, seed=3 * seed + 2)
            yield Wanted(name, "shift", source, "near", "generator", 1)
        for side in self.sides:
            category = "near" if side <= 1.5 * self.side else "far"
            source = replace(like, side=side, seed=3 * seed + 2)
            yield Wanted(f"side {side}", "shift", source, category, "side", side - self.side)

    def arguments(self, train: Member) -> dict[str, Any]:
        return {"classes": 4}

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(network(batch.x), batch.targets)

    def merit(self, out: Outputs) -> Tensor:
        return (out.logits.argmax(dim=1).cpu() == out.labels.cpu()).float()

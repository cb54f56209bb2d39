from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data import views
from outfield.data.base import Dataset, Source
from outfield.errors import UserError


@dataclass(frozen=True)
class ClassSplit(Source):
    """Classes of another source, ID or OOD: siblings of one hierarchy apart, or classes at random [1].

    ``sibling`` takes parents in a seeded order and gives of each half its classes to ID and half to OOD: every OOD
    class has the parent of an ID class, a hard semantic shift. ``random`` draws as many classes of either side from
    all. The two sides of one kind and seed have no class in common. Where ID classes look otherwise (another domain of
    the same source), the sets of a study that are ``shifted`` count as ID in its full-spectrum measures.

    Parameters
    ----------
    of : Source, or the mapping that names one
    kind : "sibling" or "random"
    side : "id" or "ood"
    count : int
        How many classes each side has.
    hierarchy : mapping of parent to names of classes, optional
        By default the last word of a name is its parent, as in "red circle".
    seed : int

    Raises
    ------
    UserError
        A source without names of classes, names that it does not have, or too few classes.

    Examples
    --------
    >>> from outfield.data.sources.scenes import Scenes
    >>> scenes = Scenes(classes=("red star", "blue star", "red ring", "pink ring"), n=40)
    >>> [sorted(ClassSplit(scenes, side=side, count=1).load().classes) for side in ("id", "ood")]
    [['red star'], ['blue star']]

    References
    ----------
    [1] Noda, Miyai, Yu, Irie, Aizawa. A Benchmark and Evaluation for Real-World Out-of-Distribution Detection Using
        Vision-Language Models. 2025.
    """

    of: Source
    kind: str = "sibling"
    side: str = "id"
    count: int = 6
    hierarchy: Mapping[str, Sequence[str]] | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"any"})

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(f"Expected a source whose classes are split, but got {self.of!r}. Name one with `source`.")
        if self.kind not in ("sibling", "random") or self.side not in ("id", "ood"):
            raise UserError(
                f"Expected kind 'sibling' or 'random' and side 'id' or 'ood', but got {self.kind!r} and {self.side!r}."
            )

    def __hash__(self) -> int:
        return hash(repr(self))

    def files(self) -> Sequence[Path] | None:
        return self.of.files()

    def load(self) -> Dataset:
        whole = self.of.load()
        if whole.classes is None:
            raise UserError("Expected a source whose classes have names, but it has none. Give it names.")
        inside, outside = split_classes(whole.classes, self.kind, self.count, self.hierarchy, self.seed)
        chosen = inside if self.side == "id" else outside
        return views.of_classes(whole, [whole.classes.index(name) for name in chosen])


def split_classes(
    names: Sequence[str],
    kind: str,
    count: int,
    hierarchy: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of ID classes and of OOD classes, which have none in common.

    Examples
    --------
    >>> split_classes(("a x", "b x", "a y", "b y"), "sibling", 2)
    (('a x', 'a y'), ('b x', 'b y'))
    """
    rng = np.random.default_rng(seed)
    families = _families(names, hierarchy)
    inside: list[str] = []
    outside: list[str] = []
    if kind == "random":
        drawn = [str(name) for name in rng.permutation([name for own in families for name in own])]
        inside, outside = drawn[:count], drawn[count : 2 * count]
    else:
        for number in rng.permutation(len(families)):
            own = [str(name) for name in rng.permutation(families[number])]
            half = min(len(own) // 2, count - len(inside))
            inside += own[:half]
            outside += own[half : 2 * half]
    if count < 1 or len(inside) < count or len(outside) < count:
        raise UserError(
            f"Expected {count} classes of either side, but the source has {len(inside)} and {len(outside)} such. "
            "Lower `count`, or take a source of more classes."
        )
    return tuple(inside), tuple(outside)


def _families(names: Sequence[str], hierarchy: Mapping[str, Sequence[str]] | None) -> list[list[str]]:
    """Names by their parent, in the order of the source."""
    if hierarchy is None:
        parents = list(dict.fromkeys(name.split()[-1] for name in names))
        return [[name for name in names if name.split()[-1] == parent] for parent in parents]
    if absent := sorted({name for own in hierarchy.values() for name in own} - set(names)):
        raise UserError(f"Expected names of the source's classes in `hierarchy`, but it has no {', '.join(absent)}.")
    return [list(own) for own in hierarchy.values()]

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from outfield.data.base import Source
from outfield.data.sources.part import Part
from outfield.data.sources.shifted import Shifted
from outfield.errors import UserError
from outfield.tasks.base import Wanted
from outfield.tasks.classify import Classify


@dataclass(frozen=True, kw_only=True)
class SemanticCovariate(Classify):
    """The grid of semantic and covariate shift of any labelled pictures: known or new classes, plain or shifted [1].

    The known classes are learned; plain, they are the test set. The other three cells are ``known, SHIFT N`` (labels
    stay, and accuracy is measured), ``new`` and ``new, SHIFT N``, for every shift and severity; detectors score them
    all. The analysis ``gain_over_msp`` reads the grid.

    Parameters
    ----------
    of : Source
        With labels. Known classes are split .5, .25, .25; of the new ones all rows are shown.
    known, new : tuple of int
        Labels of the classes that are learned, and of those that are held out.
    test : Source, optional
        Where a set has a test part of its own: its rows are shown, and all of ``of`` is learned from and tuned on
        (.8 and .2 of it).
    shifts : tuple of str
        Names of ``outfield list shifts``; all keep labels.
    severities : tuple of int

    Raises
    ------
    UserError
        No source; a class that is known and new, or none of either; no shift.

    Examples
    --------
    >>> from outfield.data.sources.digits import Digits
    >>> task = SemanticCovariate(of=Digits(), known=(0, 1, 2), new=(8,), shifts=("blur",), severities=(3,))
    >>> [(one.name, one.role, one.kind, len(one)) for one in task.sets(seed=0)][2:]
    [('test', 'test', 'id', 134), ('known, blur 3', 'shift', 'shift', 134), ('new', 'ood', 'ood', 174), ...]

    References
    ----------
    [1] Yang, Zhang, Russakovsky. ImageNet-OOD: Deciphering Modern Out-of-Distribution Detection Algorithms. ICLR 2024.
    """

    of: Source
    known: tuple[int, ...]
    new: tuple[int, ...]
    test: Source | None = None
    shifts: tuple[str, ...] = ("gaussian_noise", "blur")
    severities: tuple[int, ...] = (3,)

    def __post_init__(self) -> None:
        if not isinstance(self.of, Source):
            raise UserError(f"Expected a source of labelled pictures, but got {self.of!r}. Name one: `of: ...`.")
        both = sorted({*self.known} & {*self.new})
        if both or not self.known or not self.new:
            got = f"{both} in both" if both else f"{list(self.known)} and {list(self.new)}"
            raise UserError(f"Expected classes that are known and others that are new, but got {got}. Name them apart.")
        if not self.shifts or not self.severities:
            raise UserError("Expected a shift and a severity, but got none. Name one of `outfield list shifts`.")

    def wanted(self, seed: int) -> Iterator[Wanted]:
        shown = self.test or self.of
        train, val = ((0.0, 0.8), (0.8, 1.0)) if self.test else ((0.0, 0.5), (0.5, 0.75))
        known = Part(shown, 0.0 if self.test else 0.75, 1.0, self.known, seed=seed)
        new = Part(shown, classes=self.new, seed=seed)
        yield Wanted("train", "train", Part(self.of, *train, self.known, seed=seed))
        yield Wanted("val", "val", Part(self.of, *val, self.known, seed=seed))
        yield Wanted("test", "test", known)
        for name, severity in product(self.shifts, self.severities):
            moved = Shifted(known, name, severity, seed)
            yield Wanted(f"known, {name} {severity}", "shift", moved, "near", name, severity)
        yield Wanted("new", "ood", new, "near")
        for name, severity in product(self.shifts, self.severities):
            yield Wanted(f"new, {name} {severity}", "ood", Shifted(new, name, severity, seed), "near", name, severity)

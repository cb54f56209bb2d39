from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources.digits import Digits
from outfield.errors import UserError


@dataclass(frozen=True)
class ColouredDigits(Source):
    """Digits below 5 or not, in a colour that agrees with the label as often as the domain says [1].

    A share of the labels is turned round before, so that the colour tells the label better than the shape where they
    learn, and worse where the colour is turned round. The groups are the domains, ``colour agrees in 0.9`` and so on;
    each digit is in one.

    Parameters
    ----------
    agreement : tuple of float
        Of each domain how often the colour agrees with the label.
    noise : float
        Share of labels that are turned round.
    side : int
    seed : int

    Raises
    ------
    UserError
        A share outside 0 to 1, or two domains alike.

    Examples
    --------
    >>> data = ColouredDigits().load()
    >>> data.group_names[0], data.read(slice(0, 2)).shape, np.bincount(data.groups)
    ('colour agrees in 0.9', (2, 8, 8, 3), array([599, 599, 599]))

    References
    ----------
    [1] Arjovsky, Bottou, Gulrajani, Lopez-Paz. Invariant Risk Minimization. arXiv 1907.02893, 2019.
    """

    agreement: tuple[float, ...] = (0.9, 0.8, 0.1)
    noise: float = 0.25
    side: int = 8
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})

    def __post_init__(self) -> None:
        shares = (*self.agreement, self.noise)
        if min(shares) < 0 or max(shares) > 1 or len({*self.agreement}) < len(self.agreement) or not self.agreement:
            raise UserError(
                f"Expected shares from 0 to 1, no two domains alike, but got {self.agreement} and noise {self.noise}. "
                "Mend them."
            )

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        digits = Digits(side=self.side).load()
        rng = np.random.default_rng([self.seed, 41])
        groups = rng.permutation(len(digits)) % len(self.agreement)
        labels = (np.asarray(digits.labels) >= 5) ^ (rng.random(len(digits)) < self.noise)
        colours = labels ^ (rng.random(len(digits)) >= np.array(self.agreement)[groups])
        pictures = np.repeat(np.asarray(digits.read(slice(None))), 3, axis=3)
        pictures[..., 2] = 0
        pictures[np.arange(len(digits)), :, :, colours.astype(int)] = 0
        names = [f"colour agrees in {share:g}" for share in self.agreement]
        classes = ("0 to 4", "5 to 9")
        return ArrayDataset(pictures, labels.astype(np.int64), classes, groups=groups, group_names=names)

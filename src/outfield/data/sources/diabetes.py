from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from outfield.data import sampling
from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._package_files import shipped
from outfield.errors import UserError

COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
"""The inputs: years, sex (1, 2), body mass index, mean blood pressure, six measurements of the blood serum."""


@dataclass(frozen=True)
class Diabetes(Source):
    """442 patients with diabetes that scikit-learn ships: ten numbers each, and how far the disease went in a year [1].

    The progression is the target, from 25 to 346. The inputs are as measured, in the order age, sex, bmi, bp, s1 to s6.
    A covariate shift is made with ``ages``: train on the younger, test on the older.

    Parameters
    ----------
    part : {"all", "fit", "val", "test"}
        Disjoint shares .5, .25, .25 of the patients of these ages, in an order set by ``seed``.
    ages : tuple of two floats, optional
        Keep those with ``low <= age < high``, in years; the youngest is 19, the oldest 79.
    seed : int

    Raises
    ------
    UserError
        No such part, or no patient of these ages.

    Examples
    --------
    >>> young, old = Diabetes(part="fit", ages=(0, 60)).load(), Diabetes(ages=(60, 120)).load()
    >>> len(young), len(old), old.targets[:3]
    (170, 103, array([141.,  63., 110.]))

    References
    ----------
    [1] Efron, Hastie, Johnstone, Tibshirani. Least Angle Regression. Annals of Statistics 32(2), 2004.
    """

    part: str = "all"
    ages: tuple[float, float] | None = None
    seed: int = 0

    modality: ClassVar[frozenset[str]] = frozenset({"rows"})

    def files(self) -> tuple[Path, ...]:
        return ()

    def load(self) -> Dataset:
        shares = {"fit": (0.0, 0.5), "val": (0.5, 0.75), "test": (0.75, 1.0), "all": (0.0, 1.0)}
        if self.part not in shares:
            raise UserError(f"Expected a part among {', '.join(shares)}, but got {self.part!r}. Choose one of them.")
        patients, progression = _patients()
        low, high = self.ages or (-np.inf, np.inf)
        years = patients[:, COLUMNS.index("age")]
        here = (low <= years) & (years < high)
        if not here.any():
            raise UserError(
                f"Expected patients with {low:g} <= age < {high:g}, but they are {years.min():g} to {years.max():g} "
                "years old. Mend `ages`."
            )
        return sampling.between(
            ArrayDataset(patients[here], targets=progression[here]), *shares[self.part], seed=self.seed
        )


@cache
def _patients() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs [442, 10] and targets [442]."""
    patients, progression = (
        np.loadtxt(shipped("sklearn", "datasets", "data", f"diabetes_{name}.csv.gz")) for name in ("data_raw", "target")
    )
    return patients, progression

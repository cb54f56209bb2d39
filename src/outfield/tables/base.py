"""What every table is read as: measures of independent units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from outfield.stats.base import Level
from outfield.store.performance import Performance
from outfield.tables.directions import higher_is_better
from outfield.types import Array

OWN = ("unit", "family")
"""Columns of ``Measures.units`` beside the measures."""
NO_FAMILY = "none"
FAMILY = pl.col("family").filter(pl.col("family") != NO_FAMILY).first().fill_null(NO_FAMILY)
"""The family of a unit: the first that its rows name."""


def errors_of_means(columns: Sequence[str]) -> list[pl.Expr]:
    """Standard errors of the means of independent values; null where that of one value is not known.

    Examples
    --------
    >>> pl.DataFrame({"a": [0.3, 0.4], "b": [0.3, None]}).select(errors_of_means(["a", "b"])).row(0)
    (0.25, None)
    """
    sums = {name: (pl.col(name) ** 2).sum().sqrt() / pl.len() for name in columns}
    return [pl.when(pl.col(name).null_count() == 0).then(each).alias(name) for name, each in sums.items()]


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of independent units.

    Parameters
    ----------
    units : frame
        A row a unit (model, or strategy averaged over seeds): ``unit``, ``family``, and a column a measure, as shares.
    id : str
        The ID measure's column.
    ood : tuple of str
        The OOD measures' columns.
    level : ``model``, ``strategy``, ``configuration`` (seeds averaged) or ``run`` (reruns of
        one configuration)
    detection : bool
        Whether the OOD measures are AUROCs (else accuracies).
    ece : str or None
        The calibration error's column.
    baseline : str or None
        The unit that is the baseline.
    rows : frame or None
        The long rows, where the table was one.
    items : mapping
        Items of each test set, where known.
    tuned_on : tuple of str
        OOD sets on which detectors were tuned.
    duplicates : tuple of str
        Columns on which near-duplicates are looked for.
    notes : tuple of str
        What was dropped, averaged or guessed on the way.
    directions : mapping
        OOD measures to whether higher values are better, those of which it is known.
    performance : Performance or None
        What the ID measure is, where the table holds the rows of a study.
    errors : frame or None
        Standard errors of the cells, as shares: the rows of ``units``, a column a measure whose errors are known.
    clusters : tuple of str
        What each unit is kin to: rows of one family or architecture are not independent. Empty where each stands alone.
    clustering : str
        How the clusters were found, in one sentence.
    kinship : str
        What a cluster is: ``family``, ``architecture``, ``configuration`` or ``cluster``.
    ignored : frame or None
        What the reading left out: columns ``what`` (row, column), ``name``, ``why``.
    """

    units: pl.DataFrame
    id: str
    ood: tuple[str, ...]
    level: str = "model"
    detection: bool = False
    ece: str | None = None
    baseline: str | None = None
    rows: pl.DataFrame | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repeated: int = 0
    tuned_on: tuple[str, ...] = ()
    directions: Mapping[str, bool] = field(default_factory=dict)
    performance: Performance | None = None
    errors: pl.DataFrame | None = None
    clusters: tuple[str, ...] = ()
    clustering: str = ""
    kinship: Level = "cluster"
    ignored: pl.DataFrame | None = None

    @property
    def id_word(self) -> str:
        """What the ID measure is called within a sentence."""
        return self.id if self.performance is None else self.performance.word

    def oriented(self, values: Array) -> Array:
        """Values of the ID measure, turned where lower ones are better."""
        return -values if higher_is_better(self.id) is False else values

    def column(self, name: str) -> Array:
        return self.units[name].to_numpy().astype(float)

    @property
    def names(self) -> list[str]:
        return [str(each) for each in self.units["unit"]]

    @property
    def families(self) -> list[str]:
        return [str(each) for each in self.units["family"]]

    @property
    def has_families(self) -> bool:
        return self.units["family"].n_unique() > 1

"""How one detector fares class by class: which classes of an OOD set it accepts, which ID classes it turns away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.card.hardest import Judged, class_name, threshold
from outfield.metrics._intervals import wilson

COLUMNS: dict[str, Any] = {
    "set": pl.String, "class": pl.String, "n": pl.Int64,
    "accepted": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "accuracy": pl.Float64, "low_accuracy": pl.Float64, "high_accuracy": pl.Float64,
}  # fmt: skip
"""``set`` is null for ID classes; the accuracy is theirs alone."""


def by_class(sets: Sequence[Judged], classes: Sequence[str] | None) -> pl.DataFrame:
    """The share of each class that a detector accepts as ID at the threshold that keeps 95% of the ID test set.

    Sets without labels, of one class only, or pooled of parts are left out: there the set or the part says it all.
    Intervals are Wilson's.

    Parameters
    ----------
    sets : the ID test set and the OOD sets
    classes : names of the model's classes, or None for their numbers

    Examples
    --------
    >>> from outfield.data.datasets import ArrayDataset
    >>> rows, labels = np.arange(20), np.repeat([0, 1], 10)
    >>> known = Judged("test", False, rows / 20, rows, ArrayDataset(np.zeros((20, 2)), labels))
    >>> by_class([known], ["cat", "dog"]).select("class", "n", "accepted").rows()
    [('cat', 10, 1.0), ('dog', 10, 0.9)]
    """
    at = threshold(sets)
    found = [row for one in sets for row in _rows(one, one.scores <= at, classes)]
    return pl.DataFrame(found, schema=COLUMNS)


def _rows(one: Judged, accepted: NDArray[np.bool_], classes: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    labels = one.labels
    if labels is None or one.parts is not None or len(np.unique(labels)) < 2:
        return
    assert one.data is not None
    names = one.data.classes if one.ood else classes
    for label in np.unique(labels):
        within = labels == label
        n = int(within.sum())
        row: dict[str, Any] = {"set": one.name if one.ood else None, "class": class_name(int(label), names), "n": n}
        row |= dict(zip(("accepted", "low", "high"), _share(accepted[within]), strict=True))
        if not one.ood and one.logits is not None:
            right = one.logits[within].argmax(axis=1) == label
            row |= dict(zip(("accuracy", "low_accuracy", "high_accuracy"), _share(right), strict=True))
        yield row


def _share(of: NDArray[np.bool_]) -> tuple[float, float, float]:
    share = float(of.mean())
    return share, *wilson(share, len(of))

"""Samples of a model, a page at a time: sorted by how much detectors disagree, by a score, or as they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.dashboard.origins import Origin
from outfield.dashboard.query_parameters import Neighbours, Samples
from outfield.dashboard.scores import Scores, scores
from outfield.dashboard.selection import Selection, names
from outfield.dashboard.studies import Study
from outfield.errors import UserError

TEXT = 200
"""Characters of a text that the list shows."""


def page(study: Study, asked: Samples, origin: Origin) -> dict[str, Any]:
    """Some samples, and how many there are."""
    chosen = asked.of(study)
    model = model_of(study, chosen)
    found = scores(study, model)
    order = _kept_order(found, chosen, asked)
    places = order[asked.start : asked.start + asked.size]
    shown = found.places[places].with_columns(place=pl.Series(places, dtype=pl.Int64))
    return {
        "total": len(order),
        "page": asked.page,
        "size": asked.size,
        "model": model,
        "set": chosen.set,
        "detectors": list(found.detectors),
        "media": origin.media,
        "note": _tie(found, chosen, asked, order, places),
        "items": [_item(found, model, row, origin) for row in shown.iter_rows(named=True)],
    }


def model_of(study: Study, selection: Selection) -> str:
    """The selected model, or the study's first."""
    if selection.model is not None:
        return selection.model
    known = sorted(names(study)["model"])
    if not known:
        raise UserError("Expected the rows of a study, but there is none yet. Run it: outfield run STUDY.")
    return known[0]


def neighbours(study: Study, asked: Neighbours) -> dict[str, Any]:
    """The samples before and after one, and the page of the list to go back to.

    A sample that is not of the selected set stands where its value would put it.
    """
    chosen = asked.of(study)
    found = scores(study, model_of(study, chosen))
    place = found.place(asked.home, asked.row)
    if place is None:
        return {"before": None, "after": None, "page": 1}
    stray = chosen.set not in (None, asked.home)
    order = _order(found, chosen, asked, place) if stray else _kept_order(found, chosen, asked)
    at = int(np.flatnonzero(order == place)[0])
    return {
        "before": _sample(found, order, at - 1),
        "after": _sample(found, order, at + 1),
        "page": max(at - stray, 0) // asked.size + 1,
    }


def _sample(found: Scores, order: NDArray[np.int64], at: int) -> dict[str, Any] | None:
    if not 0 <= at < len(order):
        return None
    return found.places.select("set", "row").row(int(order[at]), named=True)


def _kept_order(found: Scores, selection: Selection, asked: Samples) -> NDArray[np.int64]:
    return found.orders.get(0, (selection, asked.sort, asked.descending), lambda: _order(found, selection, asked))


def _order(found: Scores, selection: Selection, asked: Samples, also: int | None = None) -> NDArray[np.int64]:
    """Places of the selected samples and of ``also``, sorted; those without the value come last.

    Samples of one value stand by their mean percentile over all detectors, else in a seeded order: the order of the
    rows says nothing of them.
    """
    places = np.arange(found.places.height)
    if selection.set is not None:
        places = places[(found.places["set"] == selection.set).to_numpy() | (places == also)]
    value = _value(found, selection, asked.sort)
    if value is None:
        return places[::-1] if asked.descending else places
    sign = -1 if asked.descending else 1
    by_lot = np.random.default_rng(0).random(found.places.height)
    keys = (by_lot[places], sign * found.mean_percentile[places], sign * value[places])
    return np.asarray(places[np.lexsort(keys)])


def _tie(
    found: Scores, selection: Selection, asked: Samples, order: NDArray[np.int64], shown: NDArray[np.int64]
) -> str | None:
    """That several of the samples shown have one value, and how they are put in order."""
    value = _value(found, selection, asked.sort)
    known = np.empty(0) if value is None else value[shown][~np.isnan(value[shown])]
    values, counts = np.unique(known, return_counts=True)
    if value is None or not len(values) or counts.max() < 2:
        return None
    at = values[counts.argmax()]
    what = "score" if asked.sort == "score" else "disagreement"
    return (
        f"{np.sum(value[order] == at):,} samples tie at the {what} {at:.3g}; they are put in order by their mean "
        "percentile over all detectors, and those of one mean at random."
    )


def _value(found: Scores, selection: Selection, sort: str) -> NDArray[np.float32] | None:
    if sort == "row":
        return None
    if sort == "disagreement":
        return found.disagreement
    if selection.detector is None:
        raise UserError("Expected a detector to sort by its score, but none is selected. Select one.")
    if selection.detector not in found.detectors:
        raise UserError(f"Expected scores of {selection.detector}, but there are none of this model. Select another.")
    return found.values[:, found.detectors.index(selection.detector)]


def _item(found: Scores, model: str, row: dict[str, Any], origin: Origin) -> dict[str, Any]:
    place = row.pop("place")
    label, prediction = origin.named(model, row["set"], row["row"])
    return {
        **row,
        "text": origin.text(row["set"], row["row"])[:TEXT] or None,
        "label": label,
        "prediction": prediction,
        "disagreement": float(found.disagreement[place]),
        "scores": found.at(place),
    }

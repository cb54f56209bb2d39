"""Samples of a model, a page at a time: sorted by how much detectors disagree, by a score, or as they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.dashboard.asked import Samples
from outfield.dashboard.origins import Origin
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
    order = found.orders.get(0, (chosen, asked.sort, asked.descending), lambda: _order(found, chosen, asked))
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


def _order(found: Scores, selection: Selection, asked: Samples) -> NDArray[np.int64]:
    """Places of the selected samples, sorted; those without the value come last."""
    places = np.arange(found.places.height)
    if selection.set is not None:
        places = places[(found.places["set"] == selection.set).to_numpy()]
    value = _value(found, selection, asked.sort)
    if value is None:
        return places[::-1] if asked.descending else places
    here = value[places]
    sign = -1 if asked.descending else 1
    return np.asarray(places[np.argsort(sign * here, kind="stable")])


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

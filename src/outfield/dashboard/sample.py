"""One sample: what it is, what the model says, how every detector scores it, what it is near, and why."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from outfield import registry
from outfield.dashboard import attributions
from outfield.dashboard.origins import Missing, Origin, as_text, is_picture
from outfield.dashboard.scores import Scores, Setting, scores, settings
from outfield.dashboard.studies import Study, Unknown
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.types import Outputs, State

R = TypeVar("R")
Fitted: TypeAlias = "tuple[Detector, State]"
SIDE = 64
"""Pixels of a picture's shorter side, at least."""
LONGEST = 4096
"""Pixels of a picture's longer side up to which it is enlarged."""
TOP = 5
"""Classes and neighbours that are shown."""
CHUNK = 8192
MOST_NEIGHBOURS = 200_000
"""Training inputs among which neighbours are looked for."""
AGREES = 1e-3
"""How far a score made anew may be from the stored one, of its size or of one."""


@dataclass
class Viewer:
    """One sample of a study, seen by one model; ``notes`` gathers what cannot be shown, and why.

    Parameters
    ----------
    study : Study
    origin : Origin
        The study's data and models.
    model, set : str
    row : int
    """

    study: Study
    origin: Origin
    model: str
    set: str
    row: int
    notes: list[str] = field(default_factory=list)

    def view(self) -> dict[str, Any]:
        """Everything about the sample.

        Raises
        ------
        Unknown
            The set has no such row.
        """
        found, place = self._scores()
        item = self._or(None, lambda: self.origin.item(self.set, self.row))
        outputs = self._or(None, lambda: self.origin.outputs(self.model, self.set, self.row))
        if place is None and item is None:
            raise Unknown(f"Expected a row of the set {self.set!r}, but there is no row {self.row}.")
        if item is not None and (unchecked := self.origin.unchecked(self.set)):
            self.notes.append(unchecked)
        stored = found.at(place) if found is not None and place is not None else {}
        nothing: list[dict[str, Any]] = []
        return {
            "model": self.model,
            "set": self.set,
            "row": self.row,
            "part": None if place is None or found is None else found.places["part"][place],
            **_shown(self.study, self.set, self.row, item),
            "label": self._or(None, lambda: self.origin.label(self.set, self.row)),
            **self._said(outputs),
            "disagreement": None if place is None or found is None else float(found.disagreement[place]),
            "scores": [{"detector": name, **one} for name, one in stored.items()],
            "nearest": self._or(nothing, lambda: self._nearest(outputs)) if outputs else nothing,
            "why": self._or(nothing, lambda: list(self._why(outputs, stored))) if outputs else nothing,
            "notes": list(dict.fromkeys(self.notes)),
        }

    def _or(self, otherwise: R, make: Callable[[], R]) -> R:
        """What ``make`` gives; where something is missing for it, a note says what."""
        try:
            return make()
        except Missing as error:
            self.notes.append(str(error))
            return otherwise

    def _scores(self) -> tuple[Scores | None, int | None]:
        try:
            found = scores(self.study, self.model)
        except UserError as error:
            self.notes.append(str(error))
            return None, None
        if found.lost:
            self.notes.append(f"Scores of {', '.join(found.lost)} are damaged or gone, and left out.")
        return found, found.place(self.set, self.row)

    def _said(self, outputs: Outputs | None) -> dict[str, Any]:
        """The prediction, and the largest probabilities."""
        if outputs is None:
            return {"prediction": None, "probabilities": []}
        p = torch.softmax(outputs.logits[0].double(), dim=0)
        top = p.topk(min(TOP, len(p)))
        named = [[self.origin.class_name(int(c)), float(v)] for v, c in zip(top.values, top.indices, strict=True)]
        return {"prediction": named[0][0], "probabilities": named}

    def _nearest(self, outputs: Outputs) -> list[dict[str, Any]]:
        """The training inputs whose features are the nearest, by Euclidean distance."""
        if not outputs.has("features"):
            raise Missing(f"{self.model} has no features, so that no neighbours are shown.")
        values = self.origin.values(self.model, "train")
        if len(values) > MOST_NEIGHBOURS:
            raise Missing(f"Neighbours are looked for among {MOST_NEIGHBOURS:,} training inputs; here are more.")
        distances = _distances(np.asarray(values.arrays["features"]), outputs.features[0].numpy())
        order = np.argsort(distances, kind="stable")
        return [self._neighbour(int(row), float(distances[row])) for row in order[: TOP + 1] if not self._is(int(row))][
            :TOP
        ]

    def _is(self, row: int) -> bool:
        """Whether a training input is the sample itself."""
        return self.set == "train" and row == self.row

    def _neighbour(self, row: int, distance: float) -> dict[str, Any]:
        shown = _shown(self.study, "train", row, self.origin.item("train", row))
        return {"row": row, "label": self.origin.label("train", row), "distance": distance, **shown}

    def _why(self, outputs: Outputs, stored: dict[str, dict[str, float]]) -> Iterator[dict[str, Any]]:
        for name, setting in settings(self.study, self.model).items():
            if setting.method not in attributions.PARTS or name not in stored:
                continue
            try:
                fitted = self._fitted(setting)
            except UserError as error:
                self.notes.append(f"No reasons for {name}: {error}")
                continue
            yield from self._parts(name, fitted, outputs, stored[name]["score"])

    def _fitted(self, setting: Setting) -> Fitted:
        """The detector of the study and what it learned there, learned again and kept."""
        return self.origin.once(("fitted", self.model, setting.method, setting.params), lambda: self._fit(setting))

    def _fit(self, setting: Setting) -> Fitted:
        fit = self.origin.fit(self.model)
        detector: Detector = registry.create("detectors", setting.method, **json.loads(setting.params))
        settled = detector.clipped(fit)
        return settled, settled.fit(fit)

    def _parts(self, name: str, fitted: Fitted, outputs: Outputs, score: float) -> Iterator[dict[str, Any]]:
        detector, state = fitted
        for parts in attributions.explain(detector, outputs, state, self.origin.fit(self.model)):
            if abs(parts.total - score) > AGREES * max(1.0, abs(score)):
                self.notes.append(
                    f"{name} scores this input {parts.total:.4g} here and {score:.4g} in the study: the weights or the "
                    "data are others than those that were measured, so no reasons are shown for it."
                )
                return
            named = self.origin.class_name if parts.by == "classes" else "unit {}".format
            yield {
                "detector": name,
                "by": parts.by,
                "parts": parts.largest(named),
                "total": parts.total,
                "score": score,
            }


def _shown(study: Study, name: str, row: int, item: Any) -> dict[str, Any]:
    """A picture's address, or a text."""
    if item is None:
        return {"picture": None, "text": None}
    if not is_picture(item):
        return {"picture": None, "text": as_text(item)}
    asked = urlencode({"set": name, "row": row})
    return {"picture": f"/api/studies/{quote(study.name, safe='')}/picture?{asked}", "text": None}


def picture(origin: Origin, name: str, row: int) -> bytes:
    """A picture as PNG, enlarged without blurring to ``SIDE`` pixels at least, unless it is long and narrow.

    Raises
    ------
    Unknown
        There is no such row, or it is no picture.
    """
    item = origin.item(name, row)
    if not is_picture(item) or item.shape[2] not in (1, 3, 4):
        raise Unknown(f"Expected a picture, but row {row} of {name!r} is none.")
    pixels = item if item.dtype == np.uint8 else np.rint(255 * np.clip(item, 0, 1)).astype(np.uint8)
    made = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    factor = max(1, min(-(-SIDE // min(made.size)), LONGEST // max(made.size)))
    enlarged = made.resize((made.width * factor, made.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    enlarged.save(buffer, "png")
    return buffer.getvalue()


def _distances(features: NDArray[Any], row: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distance of every row of features to one, chunk by chunk.

    Examples
    --------
    >>> _distances(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), np.zeros(2, np.float32)).tolist()
    [0.0, 5.0]
    """
    chunks = (np.asarray(features[start : start + CHUNK], np.float64) for start in range(0, len(features), CHUNK))
    return np.concatenate([np.sqrt(np.square(chunk - row).sum(axis=1)) for chunk in chunks])

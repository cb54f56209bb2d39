"""How accurate a model probably still is on the last inputs of a stream, worked out beside the stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from outfield.guard.accuracy import AccuracyEstimates, estimate_accuracy
from outfield.guard.batches import verdict_of_batch
from outfield.guard.thresholds import Ladder
from outfield.types import Array

WINDOW = 1_000
"""Inputs that an estimate is made of."""
ESTIMATORS = ("average_confidence", "average_thresholded_confidence", "difference_of_confidences")
"""Those that take milliseconds; the others are asked by ``outfield guard accuracy``."""
DRAWS = 100
SHARE = 0.02
"""Of a processor, that estimating takes."""
LONGEST = 60.0
"""Seconds that inputs go by after an estimate, at most, so that none is old while inputs come."""


class RecentAccuracy:
    """Estimates on windows of a stream, each of the inputs since the last one.

    An estimate is made in a thread of its own as soon as ``window`` inputs have come; after one that took t seconds of
    a processor inputs go by for ``t / SHARE`` seconds, at most ``LONGEST``. Inputs without a score or with logits that
    are not finite do not count.

    Parameters
    ----------
    known_logits, known_labels : array [n, C], array of int [n]
        Of labelled ID items, as a bundle holds them.
    ladder : Ladder
        Says which part of a window an estimate speaks of.
    told : callable
        Is given each estimate when it is made.

    Examples
    --------
    >>> from outfield.guard.thresholds import ladder
    >>> rng = np.random.default_rng(0)
    >>> known = 2 * rng.normal(size=(1000, 3))
    >>> labels = (known + rng.gumbel(size=known.shape)).argmax(axis=1)
    >>> recent = RecentAccuracy(known, labels, ladder(-known.max(axis=1)))
    >>> recent.add(known, -known.max(axis=1))
    >>> recent.close()
    >>> round(recent.latest.estimates["average_confidence"].value, 2)
    0.75
    """

    def __init__(
        self,
        known_logits: Array,
        known_labels: Array,
        ladder: Ladder,
        told: Callable[[AccuracyEstimates], object] = lambda _: None,
        *,
        window: int = WINDOW,
    ) -> None:
        self.known_logits, self.known_labels, self.ladder, self.window = known_logits, known_labels, ladder, window
        self.latest: AccuracyEstimates | None = None
        self.made = float("nan")
        self._told = told
        self._parts: list[tuple[Array, Array]] = []
        self._held, self._due, self._busy = 0, 0.0, False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="accuracy")

    def add(self, logits: Any, scores: Array) -> None:
        """Take the answers to some inputs; never waits."""
        values = np.asarray(logits, dtype=np.float32)
        whole = np.isfinite(values).all(axis=1) & ~np.isnan(scores)
        self._parts.append((values[whole], np.asarray(scores)[whole]))
        self._held += int(whole.sum())
        self._forget()
        if self._held >= self.window and not self._busy and time.monotonic() >= self._due:
            self._busy = True
            self._worker.submit(self._estimate, self._parts)
            self._parts, self._held = [], 0

    def _forget(self) -> None:
        """Leave out parts that no estimate of the last ``window`` inputs would need."""
        while self._parts and self._held - len(self._parts[0][1]) >= self.window:
            self._held -= len(self._parts.pop(0)[1])

    def _estimate(self, parts: list[tuple[Array, Array]]) -> None:
        start = time.thread_time()
        try:
            logits, scores = (np.concatenate(some)[-self.window :] for some in zip(*parts, strict=True))
            found = estimate_accuracy(
                logits, known_logits=self.known_logits, known_labels=self.known_labels, estimators=ESTIMATORS,
                verdict=verdict_of_batch(scores, self.ladder), draws=DRAWS,
            )  # fmt: skip
            self.made, self.latest = time.monotonic(), found
            self._told(found)
        finally:
            pause = min((time.thread_time() - start) / SHARE, LONGEST)
            self._due, self._busy = time.monotonic() + pause, False

    def close(self) -> None:
        """Wait for the estimate that is being made."""
        self._worker.shutdown(wait=True)

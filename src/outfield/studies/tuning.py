"""Hyper-parameters chosen on ID-val against OOD-val, the whole curve kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outfield.detectors.base import Detector
from outfield.features.extract import Values
from outfield.features.fit_data import FitData
from outfield.metrics.base import IdScores
from outfield.registry import create
from outfield.studies.scoring import score
from outfield.types import Estimate, State


@dataclass(frozen=True)
class Tuned:
    """The setting that did best, what it learned, and how every setting did on each OOD-val set."""

    detector: Detector
    state: State
    curve: tuple[tuple[Detector, str, Estimate], ...]


def tune(detector: Detector, data: FitData, val: Values, ood: Mapping[str, Values]) -> Tuned:
    """The setting of the grid with the highest mean AUROC of ID-val against the OOD-val sets.

    Every set weighs the same; of equal settings the first of the grid is taken.

    Examples
    --------
    >>> from outfield.types import Outputs
    >>> rng = np.random.default_rng(0)
    >>> known, far = ({"features": rng.normal(c, 1, (60, 3)).astype(np.float32)} for c in (0, 4))
    >>> found = tune(create("detectors", "knn"), FitData(Values(known)), Values(known), {"far": Values(far)})
    >>> found.detector, [setting.k for setting, _, _ in found.curve]
    (KNN(k=1, share=1.0, seed=0), [1, 10, 20, 50, 60])
    """
    auroc = create("metrics", "auroc")
    variants = detector.variants(data)
    data.prepare([fold for variant in variants for fold in variant.folds()])
    curve: list[tuple[Detector, str, Estimate]] = []
    states: list[State] = []
    means: list[float] = []
    for variant in variants:
        states.append(variant.fit(data))
        known = IdScores(score(variant, states[-1], val, "ID-val"))
        found = {name: auroc.of(known.against(score(variant, states[-1], v, name))) for name, v in ood.items()}
        means.append(float(np.mean([estimate.value for estimate in found.values()])))
        curve += [(variant, name, estimate) for name, estimate in found.items()]
    best = int(np.argmax(means))
    return Tuned(variants[best], states[best], tuple(curve))

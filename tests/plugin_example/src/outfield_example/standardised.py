from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors._wrapper import part, scores, state_with
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.types import Outputs, State


@dataclass(frozen=True)
class Standardised(Detector):
    """Another detector's score in standard deviations above its mean on held-out ID data: Gaussian scaling [1].

    Without the error function of [1], which would tie all scores that are far out.

    Parameters
    ----------
    base : Detector

    References
    ----------
    [1] Kriegel, Kröger, Schubert, Zimek. Interpreting and Unifying Outlier Scores. SDM 2011.
    """

    base: Detector

    needs: ClassVar[frozenset[str]] = frozenset()
    information: ClassVar[str] = "hybrid"
    fits_on: ClassVar[frozenset[str]] = frozenset({"val"})

    def fit(self, data: FitData) -> State:
        learned = self.base.fit(data)
        known = torch.cat([*scores(self.base, learned, data.val)]).double()
        moments = {"mean": known.mean().reshape(1), "deviation": known.std().clamp(min=1e-12).reshape(1)}
        return state_with(moments, base=learned)

    def score(self, out: Outputs, state: State) -> Tensor:
        found = self.base.score(out, part("base", state)).double()
        return (found - state["mean"]) / state["deviation"]

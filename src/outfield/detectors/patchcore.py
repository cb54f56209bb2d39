from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank, priorities
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.probes.base import Probe
from outfield.features.probes.patches import Patches
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class PatchCore(Detector):
    """How far the oddest patch of an input lies from all patches of the training set, ``max_p min_b |f_p - b|`` [1].

    Patches are local features of an intermediate map, from the probe ``patches``. The bank is a coreset of training
    patches: each next one is the one that is furthest from those taken. The paper weighs the distance by how crowded
    the bank is around it; this is left out here.

    Parameters
    ----------
    layer : str
        Empty for the last but one of those that give maps.
    side : int
        The grid of patches is at most so large.
    rows : int
        Most training rows whose patches are read.
    patches : int
        Size of the coreset, drawn from at most 20 times as many.
    seed : int
        Of the draws.

    Examples
    --------
    >>> patchcore = PatchCore()
    >>> (probe,) = patchcore.probes()
    >>> train = Outputs(layers={probe.key: torch.tensor([[[0.0, 0.0], [0.0, 1.0]]])})
    >>> out = Outputs(layers={probe.key: torch.tensor([[[0.0, 0.1], [3.0, 1.0]]])})
    >>> patchcore.score(out, patchcore.fit(FitData.of(train)))
    tensor([3.])

    References
    ----------
    [1] Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler. Towards Total Recall in Industrial Anomaly Detection. CVPR 2022.
    """

    layer: str = ""
    side: int = 8
    rows: int = 2000
    patches: int = 1000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"patches"})
    information: ClassVar[str] = "layers"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"pictures"})
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "side": (1, 1000),
        "rows": (1, 1e7),
        "patches": (1, 1e6),
        "seed": (0, 2**62),
    }

    def probes(self) -> tuple[Probe, ...]:
        return (Patches(self.layer, self.side),)

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        (probe,) = self.probes()
        return (Bank((probe.key,), limit=self.rows, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        (probe,), (bank,) = self.probes(), self.folds()
        known = data.fold(bank).outputs().layers[probe.key].flatten(0, 1)
        order = np.argsort(priorities(np.arange(len(known)), self.seed), kind="stable")[: 20 * self.patches]
        candidates = known[torch.from_numpy(np.sort(order)).to(known.device)]
        return {"bank": candidates[_coreset(_narrowed(candidates, self.seed), self.patches)]}

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        bank = state["bank"]
        patches = probe.values(out)[probe.key]
        width = 2 * patches.shape[1] * (len(bank) + patches.shape[2])
        return in_pieces(lambda some: _nearest(some.flatten(0, 1), bank).view(some.shape[:2]).amax(1), width, patches)


_NARROW = 128
"""Numbers to which wide patches are projected while the coreset is chosen."""


def _narrowed(patches: Tensor, seed: int) -> Tensor:
    """Random projections, which keep distances about as they are."""
    if patches.shape[1] <= _NARROW:
        return patches
    rng = torch.Generator().manual_seed(seed)
    return patches @ torch.randn(patches.shape[1], _NARROW, generator=rng).to(patches)


def _coreset(rows: Tensor, size: int) -> Tensor:
    """Numbers of rows, each the one furthest from those before it; the first is furthest from the mean."""
    taken = [(rows - rows.mean(0)).square().sum(1).argmax()]
    gaps = torch.full_like(rows[:, 0], torch.inf)
    while len(taken) < min(size, len(rows)):
        gaps = torch.minimum(gaps, (rows - rows[taken[-1]]).square().sum(1))
        taken.append(gaps.argmax())
    return torch.stack(taken)


def _nearest(rows: Tensor, bank: Tensor) -> Tensor:
    """Distance to the nearest row of the bank: found by one product, computed from the difference."""
    found = (2 * rows @ bank.T - bank.square().sum(1)).argmax(1)
    distances: Tensor = torch.linalg.vector_norm(rows - bank[found], dim=1)
    return distances

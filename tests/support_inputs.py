"""Digits of 8 x 8 pixels as inputs: known ones, held-out ones, and pictures that are simpler or more complex."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from outfield.data.sources.digits import Digits
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.types import Outputs, State

KNOWN = tuple(range(7))


def pictures(classes: tuple[int, ...], part: str, seed: int) -> Tensor:
    digits = Digits(classes, part, side=8, seed=seed).load().read(slice(None))
    return torch.tensor(digits[:, None, :, :, 0] / 255, dtype=torch.float32)


@cache
def sets(seed: int) -> dict[str, Tensor]:
    """Pictures [n, 1, 8, 8] by set; ``mosaic`` has 16 constant patches, ``blur`` a deviation of one pixel."""
    train, test = (pictures(KNOWN, part, seed) for part in ("fit", "test"))
    rng = np.random.default_rng(seed)
    return {
        "train": train,
        "test": test,
        "held-out": pictures((7, 8, 9), "all", seed),
        "shuffled": torch.tensor(rng.permuted(test.flatten(1).numpy(), axis=1)).view_as(test),
        "noise": torch.tensor(rng.random(test.shape, dtype=np.float32)),
        "blur": torch.tensor(gaussian_filter(test.numpy(), (0, 0, 1, 1))),
        "constant": torch.tensor(rng.random((len(test), 1, 1, 1), dtype=np.float32)).expand_as(test),
        "mosaic": nn.functional.avg_pool2d(test, 2).repeat_interleave(2, 2).repeat_interleave(2, 3),
        "occluded": occluded(test, rng),
    }


def occluded(x: Tensor, rng: np.random.Generator) -> Tensor:
    """A square of 4 x 4 pixels of each, at random, is white."""
    x = x.clone()
    for picture, (row, column) in zip(x, rng.integers(0, 5, (len(x), 2)), strict=True):
        picture[:, row : row + 4, column : column + 4] = 1
    return x


def fitted(detector: Detector, seed: int) -> State:
    return detector.fit(FitData.of(Outputs(inputs=sets(seed)["train"])))


def auroc(ours: Tensor, theirs: Tensor) -> float:
    return Auroc().of(IdScores(ours.double().numpy()).against(theirs.double().numpy())).value


def aurocs(detector: Detector, seed: int, *names: str) -> dict[str, float]:
    """AUROC of the known test digits against other sets."""
    state = fitted(detector, seed)
    scores = {name: detector.score(Outputs(inputs=sets(seed)[name]), state) for name in ("test", *names)}
    return {name: auroc(scores["test"], scores[name]) for name in names}

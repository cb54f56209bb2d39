"""AdaSCALE: SCALE where its percentiles are one, and how its percentile moves."""

from __future__ import annotations

import torch

from outfield.detectors.adascale import AdaSCALE
from outfield.detectors.scale import SCALE
from outfield.types import Outputs
from tests.reference.test_detectors_formulae import WORLD


def probed(detector: AdaSCALE, moved: torch.Tensor) -> Outputs:
    (probe,) = detector.probes()
    out = WORLD.test.out
    return Outputs(out.logits, out.features, head=out.head, layers={probe.key: moved})


def test_with_one_percentile_it_is_scale() -> None:
    detector = AdaSCALE(p_min=85.0, p_max=85.0)
    out = probed(detector, WORLD.test.out.features + 1)
    ours = detector.score(out, {"shifts": torch.linspace(0, 50, 9)})
    torch.testing.assert_close(ours, SCALE(percentile=85.0).score(out, {}))


def test_a_larger_shift_of_the_top_features_gets_a_smaller_percentile() -> None:
    """Planted: each row's features move further than those of the row before."""
    detector, f = AdaSCALE(p_min=60.0, p_max=95.0), WORLD.test.out.features[:1].expand(60, -1)
    moved = f + torch.linspace(0, 3, 60)[:, None]
    (probe,) = detector.probes()
    out = Outputs(features=f, layers={probe.key: moved})
    shifts = detector._shift(out)
    percentiles = detector._percentile(out, shifts.sort().values)
    assert (shifts.diff() > 0).all() and (percentiles.diff() < 0).all()
    assert percentiles[-1] == 60 and percentiles[0] > 94

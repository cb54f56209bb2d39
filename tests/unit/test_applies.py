"""A model goes without the detectors that ask for what it has not, and keeps the others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from outfield import registry
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.studies.job import _applies
from outfield.types import Outputs


@dataclass(frozen=True)
class Offering:
    """A model as far as detectors ask."""

    offers: frozenset[str]


def served(*offers: str) -> set[str]:
    model = Offering(frozenset(offers))
    every = {name: registry.create("detectors", name) for name in registry.names("detectors")}
    return {name for name, one in every.items() if _applies(one, model)}  # type: ignore[arg-type]


def test_a_model_with_all_serves_every_detector() -> None:
    assert served("features", "head", "layers", "gradients") == set(registry.names("detectors"))


def test_a_model_without_a_head_keeps_what_reads_features() -> None:
    assert {"mds", "knn", "msp", "gram", "odin"} <= served("features", "layers", "gradients")
    assert not {"vim", "react", "dice", "ash"} & served("features", "layers", "gradients")


HEADLESS = Outputs(
    logits=torch.eye(4).repeat(60, 1) * 3 + torch.rand(240, 4, generator=torch.Generator().manual_seed(0)),
    features=torch.rand(240, 6, generator=torch.Generator().manual_seed(1)),
    labels=torch.arange(240) % 4,
)
FITTED = [n for n in registry.names("detectors") if not registry.create("detectors", n).probes()]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FITTED)
def test_a_fit_reads_the_head_where_it_says_so(name: str) -> None:
    detector, data = registry.create("detectors", name), FitData.of(HEADLESS, HEADLESS)
    if "head" in detector.fits_with:
        with pytest.raises(UserError, match="head"):
            detector.clipped(data).fit(data)
    else:
        detector.clipped(data).fit(data)


@pytest.mark.parametrize(("lacks", "detector"), [("layers", "gram"), ("gradients", "odin"), ("gradients", "adascale")])
def test_probes_ask_for_layers_and_gradients(lacks: str, detector: str) -> None:
    others = {"features", "head", "layers", "gradients"} - {lacks}
    assert detector not in served(*others)
    assert {"msp", "vim"} <= served(*others)

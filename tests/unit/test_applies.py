"""A model goes without the detectors that ask for what it has not, and keeps the others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from outfield import registry
from outfield.detectors._requirements import asks
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.models.base import lacking
from outfield.studies.bench import applicable
from outfield.studies.job import Job
from outfield.types import Head, Outputs


@dataclass(frozen=True)
class Offering:
    """A model as far as detectors ask."""

    offers: frozenset[str]


def served(*offers: str) -> set[str]:
    model = Offering(frozenset(offers))
    every = [Job(name, registry.create("detectors", name)) for name in registry.own("detectors")]
    return {job.key for job in applicable(model, every)[0]}  # type: ignore[arg-type]


def test_a_model_with_all_serves_every_detector() -> None:
    offers = ("logits", "features", "head", "layers", "gradients", "pictures", "texts", "regions")
    assert served(*offers) == set(registry.own("detectors"))


def test_a_model_without_a_head_keeps_what_reads_features() -> None:
    assert {"mds", "knn", "msp", "gram", "odin"} <= served("logits", "features", "layers", "gradients")
    assert not {"vim", "react", "dice", "ash"} & served("logits", "features", "layers", "gradients")


BARE = {"feature_norm", "lof", "one_class_svm", "isolation_forest"}
OF_INPUTS = {"hvae", "likelihood", "msma"}


def test_a_model_without_logits_keeps_what_learns_from_features_alone_and_is_told_why_not_the_others() -> None:
    assert served("features") == {"knn", "cop", "corp", "neco", *BARE, *OF_INPUTS}
    assert served("features", "head") == {"knn", "cop", "corp", "neco", "residual", *BARE, *OF_INPUTS}
    regressor = Offering(frozenset({"features", "head"}))
    every = {name: registry.create("detectors", name) for name in ("msp", "mds", "ash", "odin")}
    why = {name: lacking(regressor, asks(one)) for name, one in every.items()}  # type: ignore[arg-type]
    assert why == {
        "msp": ("logits",),
        "mds": ("classes",),
        "ash": ("logits",),
        "odin": ("logits", "gradients of its input"),
    }


NOISE = torch.randn(480, 6, generator=torch.Generator().manual_seed(1))
REGRESSOR = Outputs(
    features=3 + NOISE[:240, :2] @ NOISE[240:242] + 0.01 * NOISE[:240],
    predictions=torch.arange(240.0),
    targets=torch.arange(240),
    head=Head(torch.ones(1, 6), torch.zeros(1)),
)


@pytest.mark.parametrize("name", ["knn", "cop", "corp", "neco", "residual", "lof", "one_class_svm", "isolation_forest"])
def test_features_of_a_regressor_are_learned_from(name: str) -> None:
    detector, data = registry.create("detectors", name), FitData.of(REGRESSOR)
    detector = detector.clipped(data)
    far = Outputs(features=3 * NOISE[240:])
    state = detector.fit(data)
    assert float((detector.score(far, state) > detector.score(REGRESSOR, state).median()).float().mean()) > 0.9


def test_classes_of_a_regressor_are_not_invented() -> None:
    with pytest.raises(UserError, match="rows of several classes"):
        registry.create("detectors", "mds").fit(FitData.of(REGRESSOR))


HEADLESS = Outputs(
    logits=torch.eye(4).repeat(60, 1) * 3 + torch.rand(240, 4, generator=torch.Generator().manual_seed(0)),
    features=torch.rand(240, 6, generator=torch.Generator().manual_seed(1)),
    labels=torch.arange(240) % 4,
    inputs=torch.rand(240, 1, 8, 8, generator=torch.Generator().manual_seed(2)),
)
FITTED = [n for n in registry.own("detectors") if not registry.create("detectors", n).probes()]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FITTED)
def test_a_fit_reads_the_head_where_it_says_so(name: str) -> None:
    detector, data = registry.create("detectors", name), FitData.of(HEADLESS, HEADLESS)
    if detector.fits_with & {"head", "texts"}:
        with pytest.raises(UserError, match="head|texts"):
            detector.clipped(data).fit(data)
    else:
        detector.clipped(data).fit(data)


@pytest.mark.parametrize(("lacks", "detector"), [("layers", "gram"), ("gradients", "odin"), ("gradients", "adascale")])
def test_probes_ask_for_layers_and_gradients(lacks: str, detector: str) -> None:
    others = {"logits", "features", "head", "layers", "gradients"} - {lacks}
    assert detector not in served(*others)
    assert {"msp", "vim"} <= served(*others)

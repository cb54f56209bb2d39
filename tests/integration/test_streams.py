"""A classification study gives a strategy what it reads beside the training set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from torch import Tensor, nn

from outfield import registry
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.store import query
from outfield.strategies import PictureStrategy
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.base import Task
from outfield.types import Batch


@dataclass(frozen=True, kw_only=True)
class OutlierExposure(PictureStrategy):
    """Cross-entropy, and answers to outliers that are to be even (Hendrycks et al. 2019)."""

    weight: float = 1.0

    family: ClassVar[str] = "recipe"
    streams: ClassVar[frozenset[str]] = frozenset({"outliers"})

    def loss(self, network: nn.Module, batch: Batch, task: Task) -> Tensor:
        even = -network(batch.streams["outliers"].x).log_softmax(1).mean()
        return task.loss(network, batch) + self.weight * even


DIGITS = {"name": "digits", "side": 8, "classes": [0, 1, 2, 3]}
STUDY: dict[str, Any] = {
    "name": "exposure",
    "id": {split: DIGITS | {"part": split.replace("train", "fit")} for split in ("train", "val", "test")},
    "ood": [{"name": "eights", "category": "near", "source": DIGITS | {"classes": [8]}}],
    "network": {"name": "small_cnn", "width": 4},
    "epochs": 6,
    "models": [{"strategy": "outlier_exposure", "seeds": [0]}, {"strategy": "baseline", "seeds": [0]}],
    "detectors": ["msp"],
    "resources": {"processes": 1},
}
LETTERS = {"outliers": {"name": "glyphs", "kind": "letters", "n": 300, "side": 8}}


@pytest.fixture(autouse=True)
def _found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    find = registry.find
    monkeypatch.setattr(
        registry, "find", lambda kind, name: OutlierExposure if name == "outlier_exposure" else find(kind, name)
    )


def trained(folder: Path, streams: dict[str, Any]) -> pl.DataFrame:
    spec = Spec.parse(STUDY | {"streams": streams})
    return query.rows(run(spec, folder, cache=Cache(folder / "cache")).check().folder)


def test_a_stream_trains_a_model_and_is_content_of_its_key(tmp_path: Path) -> None:
    rows = trained(tmp_path / "letters", LETTERS)
    confidence = rows.filter(metric="nll", set_kind="id", model="outlier_exposure-0")["value"].item()
    other = trained(tmp_path / "digits", {"outliers": DIGITS | {"classes": [5, 6, 7]}})
    assert other.filter(metric="nll", set_kind="id", model="outlier_exposure-0")["value"].item() != confidence
    assert len({path.name for path in tmp_path.glob("*/models/outlier*")}) == 2


@pytest.mark.parametrize(
    ("streams", "says"),
    [
        ({}, "streams: {outliers: SOURCE}"),
        ({"outlier": "digits"}, "streams"),
        ({"outliers": {"name": "digits", "klasses": [1]}}, "streams.outliers: .*klasses"),
        ({"outliers": DIGITS | {"part": "test"}}, "the same data"),
    ],
)
def test_streams_that_are_not_given_well_are_told(tmp_path: Path, streams: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        trained(tmp_path, streams)

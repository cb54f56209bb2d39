"""What loads a study's sets anew, to show inputs, orders their classes as the study did."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from outfield.card.study import _loaded
from outfield.dashboard.origins import Origin
from outfield.features.cache import Cache
from outfield.studies import sets
from outfield.studies.spec import Spec
from tests.support import small_study


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """A study whose test table names its classes in another order than its training table."""

    def source(name: str, first: int, values: list[str]) -> dict[str, Any]:
        rows = [f"{row},{row * 2},{'ab'[row % 2]}" for row in range(first, first + 6)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x,y,label", *rows]) + "\n")
        return {"name": "table", "path": str(tmp_path / f"{name}.csv"), "label": "label", "values": values}

    own = {
        "train": source("train", 0, ["b", "a"]),
        "val": source("val", 10, ["b", "a"]),
        "test": source("test", 20, ["a", "b"]),
    }
    ood = [{"name": "far", "category": "far", "source": source("far", 90, ["a", "b"])}]
    return Spec.parse(small_study(id=own, ood=ood, shifts=[]))


def test_a_card_finds_the_test_set_as_it_was_measured(spec: Spec) -> None:
    measured = sets.load(spec).test.data
    assert measured.classes == ("b", "a")
    again, notes = _loaded(spec)
    assert again["test"].digest() == measured.digest() and again["test"].classes == ("b", "a") and not notes
    assert again["far"].classes == ("a", "b")


def test_the_dashboard_finds_the_test_set_as_it_was_measured(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sets.load(spec).test.data.digest()
    monkeypatch.setattr(Origin, "_measured", {"test": digest})
    study = SimpleNamespace(manifest=spec.model_dump(mode="json"), folder=tmp_path, name="small")
    origin = Origin(cast("Any", study), Cache(tmp_path / "cache"))
    assert origin.data("test").digest() == digest and origin.label("test", 0) == "a"


def test_without_the_training_set_a_set_stays_as_it_is(spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "train.csv").unlink()
    assert _loaded(spec)[0]["test"].classes == ("a", "b")

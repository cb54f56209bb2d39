"""Detectors that wrap others: from a study's file to its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from outfield import keys, registry
from outfield.detectors._requirements import asks
from outfield.detectors.gen import GEN
from outfield.detectors.knn import KNN
from outfield.errors import Problems, UserError
from outfield.studies.spec import Spec
from tests.plugin_example.src.outfield_example.standardised import Standardised
from tests.support import rows_of, run_small, small_study

pytestmark = pytest.mark.usefixtures("plugins")


def wrapping(base: Any) -> dict[str, Any]:
    return {"name": "standardised", "base": base}


def test_a_base_is_given_as_a_detector_by_its_name_or_as_a_mapping() -> None:
    ways = (GEN(), "gen", {"name": "gen"}, {"name": "gen", "gamma": 0.1})
    assert len({Standardised(way) for way in ways}) == 1  # type: ignore[arg-type]
    one = registry.create("detectors", "standardised", base={"name": "gen", "gamma": 0.5})
    assert one.params == {"base": {"name": "gen", "gamma": 0.5, "m": 100}}
    assert repr(one) == "Standardised(base=GEN(gamma=0.5, m=100))"
    assert keys.key(one=one) != keys.key(one=Standardised(GEN()))
    assert one.code == {Standardised, GEN}, "the base's code is part of a result's key"
    with pytest.raises(UserError, match=r"a detector to wrap, but got 3\. Give its name"):
        Standardised(3)  # type: ignore[arg-type]


def test_what_a_base_asks_for_the_wrapper_asks_for() -> None:
    assert asks(Standardised("ash")) == asks(registry.create("detectors", "ash"))  # type: ignore[arg-type]
    assert Standardised("gram").probes() == registry.create("detectors", "gram").probes()  # type: ignore[arg-type]
    assert [one.base.k for one in Standardised(KNN()).settings()] == list(KNN.grid["k"])  # type: ignore[attr-defined]


def test_a_study_runs_wrappers_and_tunes_them_through_their_bases(tmp_path: Path) -> None:
    source = {"name": "digits", "classes": [9], "part": "all", "side": 8}
    run_small(
        tmp_path,
        models=[{"strategy": "baseline", "seeds": [0]}],
        detectors=["msp", "knn", wrapping("msp"), wrapping({"name": "knn"})],
        tuning={"ood": [{"name": "nine", "category": "near", "source": source}]},
    )
    tested = pl.col("metric") == "auroc", pl.col("role") == "test", pl.col("part").is_null()
    rows = rows_of(tmp_path / "results").filter(*tested).select("detector", "params", "ood", "value").rows()
    found = {tuple(said): value for *said, value in rows}
    for name in ("msp", "knn"):
        (own,) = {params: json.loads(params) for detector, params, _ in found if detector == name}.values()
        wrapped = keys.canonical({"base": {"name": name, **own}})
        for ood in ("digit 8", "unit tests"):
            assert found["standardised", wrapped, ood] == found[name, keys.canonical(own), ood]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("gne", "detectors[0].base: There is no detector 'gne'"),
        ({"name": "gen", "gama": 1}, "detectors[0].base: The detector 'gen' has no parameter 'gama'"),
        ({"name": "gen", "gamma": "much"}, "detectors[0].base.gamma: input should be a valid number"),
        ({"name": "gen", "gamma": -1.0}, "detectors[0].base: Expected gamma of GEN"),
        ({"gamma": 1}, "detectors[0].base.name: missing"),
        (3, "detectors[0].base: input should be"),
        (wrapping("gne"), "detectors[0].base.base: There is no detector 'gne'"),
    ],
)
def test_faults_of_a_base_are_told_with_their_place(base: Any, said: str) -> None:
    with pytest.raises(Problems) as error:
        Spec.parse(small_study(detectors=[wrapping(base), "msp"]))
    (problem,) = error.value.problems
    assert said in problem


def test_a_wrapper_without_a_base_is_told_so() -> None:
    with pytest.raises(Problems, match=r"detectors\[0\]\.base: missing"):
        Spec.parse(small_study(detectors=["standardised"]))

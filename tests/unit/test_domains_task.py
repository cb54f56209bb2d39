"""Leave one domain out: what is learned, chosen and met; and what a choice may not see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from outfield.data.datasets import group_names_of, groups_of, row_keys
from outfield.data.sources.coloured_digits import ColouredDigits
from outfield.data.sources.domains import Domains as Digits
from outfield.data.sources.in_domains import InDomains
from outfield.data.sources.wilds import Wilds
from outfield.errors import Problems, UserError
from outfield.features.cache import Cache
from outfield.registry import create
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.sets import load
from outfield.studies.spec import Spec
from outfield.tasks.domains import Domains

SITES: dict[str, Any] = {"name": "domains", "kind": "site", "side": 8}


def study(**task: Any) -> Spec:
    return Spec.parse(
        {
            "name": "sites",
            "task": {"name": "domains", "source": SITES, "leave_out": ["site 4"], **task},
            "network": {"name": "small_cnn", "channels": 3, "width": 4},
            "epochs": 1,
            "models": [{"strategy": "baseline", "seeds": [0, 1]}, {"strategy": "vrex", "seeds": [0]}],
            "detectors": ["msp"],
            "resources": {"processes": 1},
        }
    )


def test_training_and_choice_see_no_row_of_the_left_out_domain() -> None:
    members = {one.name: one.data for one in Domains(source=Digits("site"), leave_out=("site 2",)).sets(seed=0)}
    keys = {name: set(row_keys(data).tolist()) for name, data in members.items()}
    assert sum(map(len, members.values())) == 1797
    for name, data in members.items():
        named = {(group_names_of(data) or ())[one] for one in np.unique(np.asarray(groups_of(data)))}
        assert named == ({"site 2"} if name == "site 2" else {"site 0", "site 1", "site 3", "site 4"})
        assert all(not keys[name] & keys[other] for other in keys if other != name)


def test_every_domain_and_class_is_split_alike() -> None:
    members = {one.name: one.data for one in Domains(source=Digits("site"), leave_out=("site 4",)).sets(seed=0)}
    counts = {
        name: np.bincount(np.asarray(groups_of(data)) * 10 + np.asarray(data.labels), minlength=40)
        for name, data in members.items()
    }
    whole = counts["train"] + counts["val"] + counts["test"]
    assert np.abs(counts["train"] - 0.7 * whole).max() <= 1 and np.abs(counts["val"] - 0.15 * whole).max() <= 1


def test_a_validation_set_of_the_left_out_domain_is_refused_by_content() -> None:
    """Ten of its pictures among many of the training domains, under another name of the domain."""
    few: dict[str, Any] = {"name": "in_domains", "of": {**SITES, "split": "all"}, "domains": ["site 4"], "stop": 0.05}
    with pytest.raises(Problems, match=r"of its inputs are of the domain 'site 4', which is left out; choose models"):
        load(study(val=few))
    held = InDomains(Digits("site", "all"), ("site 4",), stop=0.05)
    task = Domains(source=Digits("site"), leave_out=("site 4",), val=held)
    members = list(task.sets(seed=0))
    assert len([*task.faults(members)]) == 2  # by content, and by the name of the domain
    assert not [*Domains(source=Digits("site"), leave_out=("site 4",)).faults(members[:1] + members[2:])]


def test_a_validation_set_whose_domain_is_named_as_left_out_is_refused() -> None:
    other = InDomains(Digits("stain", "all"), ("site 4",))
    task = Domains(source=Digits("site"), leave_out=("site 4",), val=other)
    (fault,) = task.faults(list(task.sets(seed=0)))
    assert "it has inputs of site 4, left out" in fault


def test_a_domain_that_there_is_not_is_told() -> None:
    with pytest.raises(Problems, match=r"has no hospital 5: it has site 0"):
        load(study(leave_out=["hospital 5"]))
    with pytest.raises(Problems, match="Expected a domain to leave out, but got none"):
        study(leave_out=[])
    with pytest.raises(UserError, match="Expected streams among"):
        Domains(source=Digits("site"), leave_out=("site 4",), streams={"test": Digits("site")})
    with pytest.raises(UserError, match="has no groups"):
        InDomains(create("sources", "digits"), ("a",)).load()
    with pytest.raises(UserError, match="no two domains alike"):
        ColouredDigits(agreement=(0.9, 0.9))


def test_all_splits_of_a_wilds_folder_are_read(tmp_path: Path) -> None:
    lines = [f"{split},{site},{label},text {site} {label} {split}" for split, site in PLACED for label in ("a", "b")]
    (tmp_path / "metadata.csv").write_text("\n".join(["split,site,y,note", *lines]) + "\n", encoding="utf-8")
    source = Wilds(str(tmp_path), group=("site",), label="y", text="note")
    assert len(source.load()) == 4 and len(source.whole().load()) == 8
    left = InDomains(source.whole(), ("site 2",)).load()
    assert left.read(slice(None)) == ["text 2 a test", "text 2 b test"]


PLACED = [("train", 0), ("train", 1), ("val", 3), ("test", 2)]


def test_a_study_has_rows_of_each_domain_and_of_id_validation(tmp_path: Path) -> None:
    outcome = run(study(), tmp_path / "out", cache=Cache(tmp_path / "cache"))
    assert not outcome.failures
    rows = query.rows(tmp_path / "out")
    accuracy = rows.filter(pl.col("metric") == "accuracy", pl.col("detector").is_null())
    assert rows.filter(pl.col("metric") == "id_validation").height == 3
    assert set(accuracy.filter(pl.col("role") == "group")["group"]) == {f"site {one}" for one in range(5)}
    assert rows.filter(pl.col("detector") == "msp", pl.col("metric") == "auroc")["ood"].unique().to_list() == ["site 4"]
    results = Results.of(tmp_path / "out")
    by_domain = create("analyses", "performance_by_domain").of(results)
    assert by_domain.frame().filter("left_out").select("domain", "strategy", "n").sort("n").rows() == [
        ("site 4", "vrex", 1), ("site 4", "baseline", 2)
    ]  # fmt: skip
    assert set(by_domain.frame().filter(~pl.col("left_out"))["domain"]) == {f"site {one}" for one in range(4)}
    picked = create("analyses", "choice_on_id_validation").of(results).frame().filter(strategy="baseline")
    val = rows.filter(pl.col("metric") == "id_validation", pl.col("strategy") == "baseline").sort(
        "value", descending=True
    )
    assert picked["model"][0].split(", ")[0] in val.filter(pl.col("value") == val["value"][0])["model"].to_list()


def test_no_choice_without_id_validation() -> None:
    row = {"study": "s", "model": "a", "strategy": "erm", "metric": "accuracy", "value": 0.5, "role": "test"}
    rows = pl.DataFrame([row | {"set_kind": "shift", "ood": "site 4"}, row | {"set_kind": "id", "ood": None}])
    with pytest.raises(UserError, match="Expected the accuracy on the ID validation set"):
        create("analyses", "choice_on_id_validation").of(Results.of(rows))

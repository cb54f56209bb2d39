"""Studies from files that lie elsewhere or are not there, and detectors that see a sample only."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from outfield import registry
from outfield.errors import Problems
from outfield.reports.page import html
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies import bench
from outfield.studies.outcome import Outcome
from outfield.studies.plan import outlook, plan, whole
from outfield.studies.sets import load
from outfield.studies.spec import Spec
from tests.support import digits, run_small, small_study

ABSENT = {"name": "svhn", "category": "far", "source": {"name": "folder", "path": "nowhere/svhn"}}
LATER = {"weights": "later.pt", "network": {"name": "small_cnn"}, "label": "later", "origin": "https://example.org/w"}


def weights(path: Path, prefix: str = "") -> Path:
    torch.manual_seed(0)
    network = registry.create("networks", "small_cnn", classes=4, width=4)
    save_file({prefix + name: value.clone() for name, value in network.state_dict().items()}, path)
    return path


def stored(*paths: Path, **changes: Any) -> dict[str, Any]:
    network = {"name": "small_cnn", "classes": 4, "width": 4}
    return {"weights": [str(path) for path in paths], "network": network, "label": "stored"} | changes


def test_what_is_not_there_is_told_and_the_rest_runs(tmp_path: Path) -> None:
    study = small_study()
    outcome = run_small(tmp_path, ood=[*study["ood"], ABSENT], models=[*study["models"], LATER]).check()
    said_set, said_model = outcome.missing
    assert said_set.startswith("ood set 'svhn': Expected a folder at nowhere/svhn")
    assert said_model == "model 'later': no weights at later.pt; published at https://example.org/w"
    assert set(query.rows(outcome.folder).filter(set_kind="ood")["ood"]) == {"digit 8", "unit tests"}
    assert outcome.jobs == 2 * 4


def test_nothing_runs_without_id_data_or_models_or_ood_sets(tmp_path: Path) -> None:
    gone = {"name": "arrays", "path": str(tmp_path / "train.npz")}
    study = small_study()
    for changes, message in [
        ({"id": study["id"] | {"train": gone}}, "train set 'train': Expected a file at .*train.npz, but there is none"),
        ({"ood": [ABSENT]}, "ood set 'svhn'"),
        ({"models": [LATER]}, "model 'later': no weights"),
    ]:
        with pytest.raises(Problems, match=message):
            run_small(tmp_path, **changes)


def test_what_is_there_but_broken_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("no archive")
    broken = {"name": "bad", "category": "far", "source": {"name": "arrays", "path": str(tmp_path / "bad.npz")}}
    with pytest.raises(Problems, match="ood set 'bad'"):
        run_small(tmp_path, ood=[broken, *small_study()["ood"]])


def test_a_list_with_none_of_its_pictures_is_missing_and_one_with_some_is_wrong(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "list.txt").write_text("a.png -1\nb.png -1\n")
    source = {"name": "imglist", "path": str(tmp_path / "list.txt"), "root": str(tmp_path), "side": 8, "channels": 1}
    spec = Spec.parse(small_study(ood=[{"name": "listed", "category": "far", "source": source}, *small_study()["ood"]]))
    assert ["none of 2 is there" in line for line in load(spec).missing] == [True]
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(Problems, match="1 of 2 cannot"):
        load(spec)


def test_published_names_and_several_files_become_one_model(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    plain = load_file(weights(tmp_path / "plain.safetensors"))
    save_file({f"model.{name}": value for name, value in plain.items() if "head" not in name}, tmp_path / "body.st")
    body = (tmp_path / "body.st").rename(tmp_path / "body.safetensors")
    named = {name.replace("head", "linear"): value for name, value in plain.items() if "head" in name}
    save_file(named | {"momentum": torch.zeros(1)}, tmp_path / "head.safetensors")
    rename = {r"^momentum$": None, r"^model\.": "", r"^linear\.": "head."}
    models = [
        stored(tmp_path / "plain.safetensors", label="plain"),
        stored(body, tmp_path / "head.safetensors", label="parts", rename=rename),
    ]
    rows = query.rows(run_small(tmp_path, models=models, detectors=["msp"]).check().folder)
    assert rows["model_digest"].n_unique() == 1
    assert rows.filter(metric="accuracy")["value"].n_unique() <= 3


def test_weights_of_another_network_name_both(tmp_path: Path) -> None:
    body = tmp_path / "odd.safetensors"
    save_file({"odd": torch.zeros(3)}, body)
    outcome = run_small(tmp_path, models=[stored(body), {"strategy": "baseline", "seeds": [0]}])
    assert [failure.model for failure in outcome.failures] == ["stored"]
    assert "the network 'small_cnn' in odd.safetensors" in str(outcome.failures[0])


def test_probes_see_a_sample_and_the_others_everything(tmp_path: Path) -> None:
    study = Spec.parse(small_study(probe_limit=20))
    sets = load(study)
    whole_test, few = sets.test.data, sets.probed.test
    assert len(few.data) == 20 < len(whole_test)
    assert np.bincount(few.data.labels).tolist() == [5, 5, 5, 5], "each class with its share"
    assert np.array_equal(few.data.read(slice(0, 20)), whole_test.read(few.rows))

    outcome = run_small(tmp_path, probe_limit=20).check()
    rows = query.rows(outcome.folder)
    counts = rows.filter(metric="auroc", ood="digit 8", model="baseline-0")
    assert dict(counts.select("detector", "n_id").rows()) == {
        "msp": len(whole_test),
        "mds": len(whole_test),
        "odin": 20,
    }
    assert counts.filter(detector="odin")["n_ood"].item() == 20
    assert rows.filter(metric="accuracy", set_kind="id")["n_id"].unique().to_list() == [len(whole_test)]
    scores = pl.concat(
        pl.read_parquet(path).with_columns(odin=pl.lit(True))
        for path in (outcome.folder / "scores" / "baseline-0").glob("*.parquet")
        if pl.read_parquet(path).filter(set="test").height == 20
    )
    assert scores.filter(set="test")["row"].to_list() == few.rows.tolist(), "rows can be paired"
    assert run_small(tmp_path, probe_limit=20).jobs == 0
    assert run_small(tmp_path, probe_limit=21).jobs == 2, "a job of ODIN for each model"


def test_another_seed_measures_probing_detectors_on_another_sample(tmp_path: Path) -> None:
    def run(folder: Path, seed: int) -> Outcome:
        return run_small(folder, probe_limit=20, seed=seed, detectors=["msp", "odin"], shifts=[]).check()

    def rows(outcome: Outcome) -> pl.DataFrame:
        found = query.rows(outcome.folder, "detector = 'odin'").drop("seconds")
        return found.sort(found.columns)

    run(tmp_path, 0)
    again = run(tmp_path, 1)
    assert again.jobs == 2, "a job of ODIN for each model"
    assert rows(again).equals(rows(run(tmp_path / "fresh", 1)))


def test_what_a_study_says_of_a_stored_model_is_in_its_rows_at_once(tmp_path: Path) -> None:
    path = weights(tmp_path / "net.safetensors")
    said = {"strategy": "PGD", "family": "adversarial", "seed": 5}
    first, again = (
        run_small(tmp_path, models=[stored(path, **changes)], detectors=["msp"]).check() for changes in ({}, said)
    )
    assert (again.jobs, again.forwards) == (first.jobs, 0)
    assert query.rows(again.folder).select(*said).unique().rows() == [("PGD", "adversarial", 5)]


def test_the_plan_counts_what_probes_will_read() -> None:
    every, few = (Spec.parse(small_study(probe_limit=limit)) for limit in (None, 20))
    ahead = [outlook(plan(spec, sets).tasks, sets) for spec, sets in ((every, load(every)), (few, load(few)))]
    assert ahead[1].forwards < ahead[0].forwards
    assert [one.jobs for one in ahead] == [8, 8] and whole(few) == (2, 8)


def test_a_limited_shift_is_a_sample_of_the_test_set() -> None:
    shifts = [{"shift": "blur", "severities": [2], "limit": 12}, {"shift": "rotation", "severities": [2]}]
    sets = load(Spec.parse(small_study(shifts=shifts, id=small_study()["id"] | {"test": digits("test")})))
    assert [len(member.data) for member in sets.shifts] == [12, len(sets.test.data)]
    assert np.bincount(sets.shifts[0].data.labels).tolist() == [3, 3, 3, 3]


def test_shifted_sets_from_files_are_measured_and_notes_are_on_the_page(tmp_path: Path) -> None:
    turned = {"name": "shifted", "of": digits("test"), "shift": "rotation", "severity": 2}
    note = "Turned digits are <turned> by a generator."
    shifted = [{"name": "turned", "source": turned}]
    folder = run_small(tmp_path, shifted=shifted, notes=[note]).check().folder
    rows = query.rows(folder).filter(set_kind="shift", metric="accuracy", shift="turned")
    assert rows.height == 2 and rows["severity"].null_count() == 2
    page = html(Results.of(folder))
    assert "Turned digits are &lt;turned&gt; by a generator." in page


def test_what_detectors_warn_of_is_told_once_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bench.score

    def warning(detector: Any, *rest: Any) -> Any:
        if type(detector).__name__ in ("MSP", "MDS"):
            warnings.warn("These features are odd.", stacklevel=2)
        return plain(detector, *rest)

    monkeypatch.setattr(bench, "score", warning)
    outcome = run_small(tmp_path).check()
    assert outcome.warnings == ("mds, msp (2 models): These features are odd.",)

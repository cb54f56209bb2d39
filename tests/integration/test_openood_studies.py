"""The studies on OpenOOD's lists: in full when nothing is there, and running with the part that is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from outfield import registry
from outfield.features.cache import Cache
from outfield.store import query
from outfield.studies.plan import whole
from outfield.studies.recipes import missing
from outfield.studies.run import run
from outfield.studies.sets import survey
from outfield.studies.spec import Spec, shipped
from tests.integration.test_cli import typed


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("openood_cifar10", (6, 6, 186)),
        ("openood_imagenet1k", (7, 5, 217)),
        ("many_behaviours_resnet50", (56, 8, 1736)),
    ],
)
def test_a_dry_run_lists_all_that_is_missing(
    name: str, counts: tuple[int, int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, sets, jobs = counts
    spec = Spec.load(shipped(name), tmp_path)
    assert (len(spec.models), len(spec.ood), len(spec.detectors), *whole(spec)) == (models, sets, 21, models, jobs)
    assert all(model.origin for model in spec.models), "each with the place its weights are published"
    assert len(list(missing(spec))) == models
    assert typed("run", str(shipped(name)), "--data", str(tmp_path), "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"{models + len(survey(spec).missing)} missing" in said and "Nothing can run yet" in said
    assert str(tmp_path / "benchmark_imglist") in said


def test_the_models_of_study_1_are_those_of_its_table() -> None:
    table = Path(__file__).parents[3] / "shared" / "reference" / "krumpl2026_table2.csv"
    if not table.exists():
        pytest.skip(f"needs {table}")
    spec = Spec.load(shipped("many_behaviours_resnet50"))
    names = pl.read_csv(table)
    assert [model.label for model in spec.models] == names["model"].to_list()
    assert pl.Series([model.family for model in spec.models]).value_counts()["count"].sort().to_list() == [
        1,
        1,
        7,
        10,
        15,
        22,
    ]


def listed(root: Path, name: str, folder: str, labels: list[int]) -> None:
    """A list in OpenOOD's format with its pictures."""
    rng = np.random.default_rng(sum(map(ord, name)))
    lines = []
    for i, label in enumerate(labels):
        path = root / "images_classic" / folder / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        lines.append(f"{folder}/{i}.png {label}")
    (root / "benchmark_imglist/cifar10").mkdir(parents=True, exist_ok=True)
    (root / "benchmark_imglist/cifar10" / f"{name}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def openood(tmp_path: Path) -> Path:
    """ID data, one OOD set, OOD-val, corrupted pictures and one checkpoint in OpenOOD's places."""
    root = tmp_path / "openood"
    classes = [i % 10 for i in range(20)]
    for split in ("train", "val", "test"):
        listed(root, f"{split}_cifar10", f"cifar10/{split}", classes)
    listed(root, "test_cifar10c", "cifar10c", classes)
    for name in ("test_cifar100", "val_tin"):
        listed(root, name, name, [-1] * 12)
    (root / "benchmark_imglist/cifar10/test_svhn.txt").write_text("svhn/test/0.png -1\n")
    torch.manual_seed(0)
    weights = registry.create("networks", "resnet18_cifar", classes=10).state_dict()
    place = root / "results/cifar10_resnet18_32x32_base_e100_lr0.1_default/s1/best.ckpt"
    place.parent.mkdir(parents=True)
    torch.save({name.replace("head.", "fc."): value for name, value in weights.items()}, place)
    return root


def test_the_part_that_is_there_runs(openood: Path, tmp_path: Path) -> None:
    spec = Spec.load(shipped("openood_cifar10"), openood)
    few = spec.model_dump(mode="json") | {"detectors": ["msp", "gen"], "resources": {"processes": 1}}
    outcome = run(Spec.parse(few), tmp_path / "results", cache=Cache(tmp_path / "cache")).check()
    told = "\n".join(outcome.missing)
    assert len(outcome.missing) == 5 + 5, "sets and checkpoints"
    assert "none of 1 is there, the first at" in told and "svhn" in told, "a list without its pictures"
    rows = query.rows(outcome.folder)
    assert set(rows["model"]) == {"cross-entropy s1"} and set(rows["strategy"]) == {"cross-entropy"}
    assert set(rows["seed"]) == {1}
    assert set(rows.filter(set_kind="ood")["ood"]) == {"CIFAR-100", "Tiny-ImageNet validation"}
    assert rows.filter(detector="gen", role="curve").height == 7, (
        "GEN is tuned on OOD-val: gamma, with M all ten classes"
    )
    assert rows.filter(metric="accuracy", shift="CIFAR-10-C").height == 1

"""What goes wrong with tasks, regressors and their data: told, all of it, and never measured as something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from outfield.card.run import evaluate
from outfield.data.datasets import ArrayDataset
from outfield.data.sources.synthetic import Synthetic
from outfield.errors import Problems, UserError
from outfield.features.cache import Cache
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.base import from_sources
from outfield.tasks.regress import Regress
from outfield.types import Batch, Outputs
from tests.unit.test_regression import STUDY

WRONG = """
name: wrong
task:
  name: regress
  id: {train: {name: tabel}, val: {name: table, pth: a.csv}, test: {name: table, path: 5}}
  shift: {older: nothing}
models:
  - {estimator: Rigde}
  - {estimator: {alpha: 1}}
  - {model: 5, label: mine}
batch: 0
"""


def test_every_mistake_of_a_study_of_a_task_is_shown_at_once(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(WRONG)
    with pytest.raises(Problems) as caught:
        Spec.load(tmp_path / "study.yaml")
    for said in (
        "task.id.train: There is no source 'tabel'",
        "task.id.val: The source 'table' has no parameter 'pth'",
        "task.id.test.path: input should be a valid string, but got 5",
        "models[0].estimator: There is no estimator 'Rigde'",
        "models[1].estimator.name: missing",
        "models[2].model: input should be a valid string, but got 5",
        "batch: input should be greater than or equal to 1",
    ):
        assert said in str(caught.value), said


def _said_of(task: dict[str, Any]) -> str:
    with pytest.raises(Problems) as caught:
        Spec.parse(STUDY | {"task": {"name": "regress", **task}})
    return str(caught.value)


def test_what_is_no_source_is_told_with_its_place() -> None:
    sound = {split: {"name": "diabetes"} for split in ("train", "val", "test")}
    said = _said_of({"id": sound | {"val": "x"}, "shift": {"a": {"nme": "table"}}, "ood": {"near": 3}})
    assert "task.id.val: " in said and "task.shift.a: " in said and "task.ood.near: " in said


def test_a_set_of_a_task_has_a_name_of_its_own() -> None:
    one = Synthetic("uniform_noise", 4)
    with pytest.raises(Problems, match="'a' is used more than once") as caught:
        list(from_sources(dict.fromkeys(("train", "val", "test"), one), shift={"a": one, "test": one}, ood={"a": one}))
    assert len(caught.value.problems) == 2 and "'test' is used more than once" in str(caught.value)


def test_a_model_whose_file_is_not_there_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    models = [{"estimator": "Ridge", "seeds": [0]}]
    models += [{"model": name, "label": name[:4]} for name in ("sklearn:none.skops", "nets.py:made", "onnx:none.onnx")]
    changed = STUDY | {"models": models, "detectors": ["knn"]}
    outcome = run(Spec.parse(changed), tmp_path / "out", cache=Cache(tmp_path / "cache"))
    assert not outcome.failures and [one.partition(":")[2] for one in outcome.missing] == [
        " no file at none.skops", " no file at nets.py", " no file at none.onnx",
    ]  # fmt: skip


def test_groups_are_content() -> None:
    def made(groups: list[int] | None, names: tuple[str, ...] | None = ("a", "b")) -> str:
        return ArrayDataset(np.eye(2), groups=groups, group_names=names).digest()

    assert len({made([0, 1]), made([1, 0]), made([0, 1], ("b", "a")), made(None, None)}) == 4


def test_a_prediction_is_not_repeated_for_other_targets() -> None:
    with pytest.raises(UserError, match="a prediction for each target"):
        Regress({}).merit(Outputs(predictions=torch.zeros(3, 1), targets=torch.zeros(3, 2)))
    with pytest.raises(UserError, match="a prediction for each target"):
        Regress({}).loss(nn.Linear(2, 3), Batch(torch.zeros(4, 2), torch.zeros(4, 1)))
    squeezed = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    batch = Batch(torch.rand(4, 2), torch.arange(4.0)[:, None])
    right = (squeezed(batch.x) - torch.arange(4.0)).square().mean().item()
    assert Regress({}).loss(squeezed, batch).item() == pytest.approx(right)


def test_a_regressor_is_known_by_its_file_and_by_its_option(tmp_path: Path) -> None:
    import skops.io

    rows = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    targets = (100 * rows.sum(axis=1)).round().astype(int)
    ridge = Ridge().fit(rows, targets)
    skops.io.dump(ridge, tmp_path / "ridge.skops")
    data = {"id_test": (rows, targets), "ood": {"far": rows[:50] + 9}, "detectors": ["knn"], "cache": Cache(tmp_path)}
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    cards = [evaluate(f"sklearn:{tmp_path / 'ridge.skops'}", **data), evaluate(ridge, **data)]
    cards.append(evaluate(network, **data, numbers=True))
    errors = [card.estimate("mean_absolute_error")["value"] for card in cards]
    assert errors[0] == errors[1] < errors[2]

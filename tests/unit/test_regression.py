"""A regressor brought to its sets: what is measured is what it predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from outfield.card.run import evaluate
from outfield.data.datasets import targets_of
from outfield.data.sources.diabetes import Diabetes
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.models.sklearn import SklearnModel
from outfield.models.torch import TorchModel
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.tasks.regress import Regress

AGES = {"train": {"part": "fit"}, "val": {"part": "val"}, "test": {"part": "test"}}
STUDY = {
    "name": "small",
    "task": {
        "name": "regress",
        "id": {split: {"name": "diabetes", "ages": [0, 60]} | part for split, part in AGES.items()},
        "shift": {"60 and older": {"name": "diabetes", "ages": [60, 120]}},
    },
    "network": {"name": "mlp", "columns": 10, "hidden": [16]},
    "models": [
        {"estimator": {"name": "Ridge", "alpha": 1.0}, "seeds": [0]},
        {"strategy": {"name": "adamw", "learning_rate": 0.02, "batch_size": 32, "epochs": 60}, "seeds": [0]},
    ],
    "detectors": ["knn", "msp"],
    "resources": {"processes": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("regression")
    outcome = run(Spec.parse(STUDY), place / "out", cache=Cache(place / "cache"))
    assert not outcome.failures and outcome.left_out == {"Ridge-0": ("msp",), "adamw-0": ("msp",)}
    return place / "out"


def test_the_error_is_that_of_scikit_learn(folder: Path) -> None:
    fit, test, old = (Diabetes(**one).load() for one in (
        {"part": "fit", "ages": (0, 60)}, {"part": "test", "ages": (0, 60)}, {"ages": (60, 120)}
    ))  # fmt: skip
    ridge = Ridge(alpha=1.0).fit(fit.read(slice(None)), targets_of(fit))
    rows = query.rows(folder).filter(model="Ridge-0", metric="mean_absolute_error")
    found = dict(rows.select(pl.col("ood").fill_null("ID"), "value").iter_rows())
    for name, data in {"ID": test, "60 and older": old}.items():
        right = np.abs(ridge.predict(data.read(slice(None))) - targets_of(data)).mean()
        assert found[name] == pytest.approx(right, rel=1e-5), name


def test_a_network_learns_and_its_own_outputs_are_measured(folder: Path) -> None:
    rows = query.rows(folder).filter(metric="mean_absolute_error", set_kind="id", model="adamw-0")
    assert 35 < rows["value"].item() < 60, "the mean of the targets alone would be off by 62"


def test_a_network_of_one_number_is_no_classifier_of_two_classes() -> None:
    rows = torch.arange(6.0).reshape(3, 2).numpy()
    network = nn.Linear(2, 1)
    model = TorchModel(network, rows, numbers=True)
    out = model.forward(model.prepare(rows))
    torch.testing.assert_close(out.predictions, network(torch.from_numpy(rows)))
    assert not out.has("logits") and not {"logits", "gradients"} & model.offers


def test_the_shift_is_scored_by_detectors_and_the_error_is_told_from_the_score(folder: Path) -> None:
    rows = query.rows(folder).filter(detector="knn", model="Ridge-0", role="test")
    of_shift = rows.filter(metric="auroc")
    assert of_shift.select("ood", "set_kind", "ood_category", "task").rows() == [
        ("60 and older", "ood", "near", "regress")
    ]
    assert rows.filter(metric="error_correlation", set_kind="id").height == 1


def test_the_merit_of_every_item_is_kept(folder: Path) -> None:
    manifest = query.manifest(folder)
    rows = {path.stem for path in (folder / "rows").glob("*.parquet")}
    own = [key for key in rows if query.sql(folder, "SELECT 1 AS one").height and _is_own(folder, key)]
    assert set(own) <= set(manifest["jobs"]) and len(own) == 2
    for key in own:
        model = pl.read_parquet(folder / "rows" / f"{key}.parquet")["model"][0]
        merits = query.merits(folder, model, key)
        found = query.rows(folder).filter(model=model, metric="mean_absolute_error").sort("set_kind")
        by_set = {name: -part["merit"].mean() for (name,), part in merits.group_by("set")}
        for row in found.iter_rows(named=True):
            assert by_set[row["ood"] or "test"] == pytest.approx(row["value"], rel=1e-5)


def _is_own(folder: Path, key: str) -> bool:
    return pl.read_parquet(folder / "rows" / f"{key}.parquet")["detector"].null_count() > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": {"name": "regress", "id": {"train": {"name": "diabetes"}}}}, "val"),
        ({"task": {"name": "regress", "id": "diabetes"}}, "id"),
        ({"task": "regres"}, "regress"),
        ({"ood": [{"name": "far", "category": "far", "source": "digits"}]}, "brings its data itself"),
        ({"models": [{"estimator": "RandomForrest"}]}, "RandomForestRegressor"),
        ({"models": [{"estimator": {"name": "Ridge", "alfa": 1.0}}]}, "alfa"),
        ({"models": [{"strategy": "mixup"}]}, "pictures"),
    ],
)
def test_faults_of_a_study_of_a_task_are_told(tmp_path: Path, change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        run(Spec.parse(STUDY | change), tmp_path, cache=Cache(tmp_path / "cache")).check()


def test_data_without_targets_are_told(tmp_path: Path) -> None:
    digits = {"name": "digits", "classes": [0, 1], "side": 8}
    task = {"name": "regress", "id": {s: digits | {"part": s.replace("train", "fit")} for s in AGES}}
    with pytest.raises(UserError, match="[Tt]arget"):
        run(Spec.parse(STUDY | {"task": task}), tmp_path, cache=Cache(tmp_path / "cache")).check()


def test_the_worst_merit_is_the_largest_error() -> None:
    from outfield.types import Outputs

    said = Outputs(predictions=torch.tensor([[1.0], [5.0]]), targets=torch.tensor([0.0, 0.0]))
    assert Regress(id={}).merit(said).tolist() == [-1.0, -5.0]


def test_a_regressor_of_scikit_learn_predicts_in_a_column_for_each_target() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    model = SklearnModel(Ridge().fit(rows, np.stack([rows[:, 0], rows[:, 1]], axis=1)))
    assert model.forward(model.prepare(rows)).predictions.shape == (6, 2) and model.classes is None


def _patients() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = Diabetes().load()
    rows = np.asarray(data.read(slice(None)), dtype=np.float64)
    return rows, np.asarray(targets_of(data)), rows[:, 0] < 60


def test_a_card_of_a_regressor_says_its_error(tmp_path: Path) -> None:
    rows, targets, young = _patients()
    ridge = Ridge(alpha=1.0).fit(rows[young][::2], targets[young][::2])
    test = rows[young][1::2], targets[young][1::2]
    known = {"id_train": (rows[young][::2], targets[young][::2]), "id_test": test}
    older = {"near": {"older": (rows[~young], targets[~young])}}
    card = evaluate(ridge, **known, ood=older, cache=Cache(tmp_path))
    error = np.abs(ridge.predict(test[0]) - test[1]).mean()
    assert card.estimate("mean_absolute_error")["value"] == pytest.approx(error, rel=1e-6)
    assert card.left_out["msp"] == "the model has no logits" and "accuracy" not in " ".join(card.sentences)
    assert card.classes.is_empty(), "the targets of an OOD set are no classes"
    page = card.save(tmp_path / "card.html").read_text()
    assert "Mean absolute error" in page and "ccuracy" not in page


def test_the_command_line_takes_the_column_to_be_predicted(tmp_path: Path) -> None:
    import skops.io
    from typer.testing import CliRunner

    from outfield.cli import app

    rows, targets, young = _patients()
    names = [f"x{i}" for i in range(10)]
    for name, some in {"young": young, "old": ~young}.items():
        table = pl.DataFrame(rows[some], schema=names).with_columns(progression=pl.Series(targets[some]))
        table.write_csv(tmp_path / f"{name}.csv")
    skops.io.dump(Ridge().fit(rows[young], targets[young]), tmp_path / "ridge.skops")
    told = CliRunner().invoke(app(), [
        "evaluate", f"sklearn:{tmp_path / 'ridge.skops'}", "--id", str(tmp_path / "young.csv"),
        "--target", "progression", "--ood", f"near={tmp_path / 'old.csv'}", "--detectors", "knn",
    ])  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "mean absolute error is" in told.output and "Take knn" in told.output


@pytest.mark.parametrize(("data", "says"), [("classes", "predicts numbers"), ("column", "nowhere")])
def test_what_is_no_regression_is_told(tmp_path: Path, data: str, says: str) -> None:
    from sklearn.naive_bayes import GaussianNB

    rows, targets, young = _patients()
    table = pl.DataFrame(rows[young]).with_columns(progression=pl.Series(targets[young]))
    table.write_csv(tmp_path / "young.csv")
    made = GaussianNB().fit(rows, young) if data == "classes" else Ridge().fit(rows, targets)
    with pytest.raises(UserError, match=says):
        evaluate(
            made, id_test=tmp_path / "young.csv", ood={"far": rows[~young]}, cache=Cache(tmp_path / "cache"),
            target="progression" if data == "classes" else "nowhere",
        )  # fmt: skip
